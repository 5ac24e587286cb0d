// The page without this script shows everything but the choice of circuit and prompt. Nothing here asks for a file.
(() => {
  const root = document.documentElement;

  function themeButton(button) {
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const name = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Use the ${dark() ? "light" : "dark"} theme`); };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
    name();
    button.hidden = false;
  }

  function openForPrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open], .onscreen)")];
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  }

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const percent = (level) => Math.floor((level * 100 + 127) / 255);
  const tokenHead = (scope, token, more = {}) => html("th", { scope, ...more, title: token }, html("bdi", {}, token));

  // The table of one pattern: what attention.html makes of the first prompt.
  function heat(head, side, prompt, tokens) {
    const [, queries, keys] = head.shape;
    const values = bytes(head[side]).subarray(prompt * queries * keys);
    const cell = (level) => {
      const share = percent(level);
      const made = html("td", { class: share > 50 ? "high" : "low" }, String(share));
      made.style.setProperty("--share", `${share}%`);
      return made;
    };
    const rows = tokens.map((token, query) => {
      const row = html("tr", query === tokens.length - 1 ? { class: "answer" } : {}, tokenHead("row", token));
      tokens.forEach((_, key) => row.append(key <= query ? cell(values[query * keys + key]) : html("td", { class: "off" })));
      row.append(cell(values[(query + 1) * keys - 1]));
      return row;
    });
    const names = html("tr", {}, html("td"), ...tokens.map((token) => tokenHead("col", token)), tokenHead("col", "sink", { class: "sink" }));
    const table = html("table", { class: `heat ${side}${tokens.length > 16 ? " long" : ""}` }, html("caption", {}, side), html("thead", {}, names), html("tbody", {}, ...rows));
    return html("div", { class: "heat-box" }, table);
  }

  function headFigure(head, prompt, tokens) {
    const caption = html("figcaption", {}, html("b", {}, `Head ${head.name}`), ` ${head.share}, total variation ${head.apart}`);
    const pair = html("div", { class: "pair" }, heat(head, "model", prompt, tokens), heat(head, "circuit", prompt, tokens));
    return html("figure", { class: "head" }, caption, pair);
  }

  function unfolding(figures, open) {
    if (!figures.length) return [];
    const summary = html("summary", {}, `${figures.length} that matter less`);
    return [html("details", open ? { open: "" } : {}, summary, html("div", { class: "heads" }, ...figures))];
  }

  function attention(box) {
    const data = JSON.parse(box.querySelector("script").textContent);
    const [circuit, prompt] = ["circuit", "prompt"].map((name) => box.querySelector(`[data-choose=${name}]`));
    const show = () => {
      const [chosen, place] = [data.circuits[circuit.value], Number(prompt.value)];
      const figures = chosen.heads.map((head) => headFigure(head, place, data.prompts[place].tokens));
      const [heads, wasOpen] = [box.querySelector("[data-heads]"), box.querySelector("[data-heads] details[open]")];
      const first = html("div", { class: "heads" }, ...figures.slice(0, data.shown));
      heads.replaceChildren(first, ...unfolding(figures.slice(data.shown), wasOpen));
      box.querySelector("[data-shown]").textContent = `${chosen.name}: ${data.prompts[place].text}. `;
    };
    for (const select of [circuit, prompt]) select.addEventListener("change", show);
    box.querySelector(".choosers").hidden = false;
    box.classList.add("live");
  }

  themeButton(document.querySelector("[data-theme-toggle]"));
  openForPrint();
  document.querySelectorAll("[data-attention]").forEach(attention);
})();
