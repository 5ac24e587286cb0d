// HTML and SVG elements, and numbers as text. Text from outside enters the page by textContent and
// setAttribute alone.

const SVG = "http://www.w3.org/2000/svg";

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const html = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);
const isolated = (text) => html("bdi", {}, text);

function button(text, attributes, act) {
  const made = html("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

function table(names, rows) {
  const head = html("tr", {}, ...names.map((text) => html("th", { scope: "col" }, text)));
  return html("table", { class: "plain numbers" }, html("thead", {}, head), html("tbody", {}, ...rows));
}

function tableRow(name, cells, attributes = {}) {
  return html("tr", attributes, html("th", { scope: "row" }, name), ...cells.map((text) => html("td", {}, text)));
}

// A label with a select; options are [value, text].
function chooser(label, name, options, value, act) {
  const choices = options.map(([key, text]) => html("option", { value: key }, text));
  const select = html("select", { "data-choose": name }, ...choices);
  select.value = value;
  select.addEventListener("change", () => act(select.value));
  return html("label", {}, label, " ", select);
}

// Buttons of which one is pressed.
function toggle(label, name, options, value, act) {
  const group = html("span", { class: "cv-toggle", role: "group", "aria-label": label, "data-toggle": name });
  const press = (key) => {
    for (const one of group.children) one.setAttribute("aria-pressed", String(one.value === key));
  };
  for (const [key, text] of options) group.append(button(text, { value: key }, () => { press(key); act(key); }));
  press(value);
  return html("span", { class: "cv-labelled" }, html("span", { "aria-hidden": "true" }, label), group);
}

function number(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  return (value < 0 ? "−" : "") + digitsOf(Math.abs(value), digits);
}
function digitsOf(size, digits) {
  if (size >= 1000) return size.toFixed(0);
  return size < 1e-4 ? size.toExponential(1) : String(Number(size.toPrecision(digits)));
}
const signed = (value) => (value > 0 ? "+" : "") + number(value);
function percent(share) {
  if (share === null) return "unknown";
  return share > 0 && share < 0.001 ? "under 0.1 %" : `${number(100 * share)} %`;
}
const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
