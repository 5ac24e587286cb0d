// The card of the selected node, and the list of those that matter most.

// In the order of viewer_roles: a role that stays, flips, vanishes.
const BECAME = ["", "opposite in the model", "not in the model"];
const NEIGHBOURS = 12;
const LISTED = 60;

const note = (text) => html("p", { class: "note" }, text);
const part = (title, ...children) => html("section", { class: "cv-part" }, html("h5", {}, title), ...children);

function card(viewer) {
  const { circuit, selected: node } = viewer;
  if (node === null) return [note("This circuit keeps no node.")];
  const heading = html("h4", { tabindex: "-1", "data-card": "" }, isolated(circuit.name(node)));
  const back = button("↑ To the picture", { class: "cv-back" }, () => viewer.graph.focus());
  const about = [place(circuit, node), verdict(circuit, node), facts(circuit, node)];
  return [heading, back, ...about, activations(viewer, node), roles(viewer, node), ...neighbours(viewer, node)].filter(Boolean);
}

function place(circuit, node) {
  const [, kind, layer] = circuit.site(node);
  const head = circuit.found.head[node];
  const parts = [`layer ${layer}`, kind, ...(head >= 0 ? [`head ${head}`] : []), `number ${circuit.found.number[node]}`];
  return note(parts.join(", "));
}

function verdict(circuit, node) {
  const kind = circuit.kind(node);
  if (!kind.name) return null;
  const name = html("b", {}, `${kind.mark} ${capital(kind.name)}`);
  return html("p", { class: `cv-verdict cv-${kind.key}` }, name, `. It ${kind.said}.`);
}

function lost(nats) {
  if (nats === null) return "not finite";
  if (nats <= 0) return "nothing";
  return `${nats < 0.001 ? "under 0.001" : number(nats)} nats`;
}

function facts(circuit, node) {
  if (!circuit.found.share) return null;
  const ask = (name) => circuit.column(name, node);
  const rows = [
    ["Importance: the log-odds lost without it", `${lost(ask("importance"))}, ${percent(ask("share"))} of the circuit's`],
    ["Lost with the model's activation in its place", lost(ask("swapped"))],
    ["Correlation with the model, r", number(ask("r"))],
    ["Same sign as in the model", percent(ask("sign_agreement"))],
    ["Variance unexplained, FVU", ask("fvu") === null ? "unbounded: constant in the model" : number(ask("fvu"))],
  ];
  const row = ([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value));
  return html("dl", { class: "cv-facts" }, ...rows.map(row));
}

function activations(viewer, node) {
  const { circuit, data } = viewer;
  if (!circuit.activations) return null;
  if (!circuit.has(node)) return part("Activations", note("Those of this node are in the evidence file alone."));
  const shown = viewer.sides === "both" ? ["model", "circuit"] : [viewer.sides];
  const options = ["both", "model", "circuit"].map((side) => [side, side]);
  const sides = toggle("Show", "sides", options, viewer.sides, (side) => viewer.showSides(side));
  const lines = data.prompts.map((prompt, place) => sentence(circuit, node, prompt, place, shown));
  const key = `Under each token: ${shown.join(", then ")}. The framed token is where the answer is read; the colour is `
    + `full at ±${number(circuit.scale(node))}, a dot is next to nothing.`;
  return part("Activations", sides, note(key), ...lines);
}

function sentence(circuit, node, prompt, place, shown) {
  const words = prompt.tokens.map((token, at) => {
    const cells = shown.map((side) => cell(circuit.level(node, side, place, at), circuit.scale(node), side));
    const last = at === prompt.tokens.length - 1;
    return html("span", { class: `cv-word${last ? " cv-answer" : ""}` }, isolated(token), ...cells);
  });
  const target = html("span", {}, "→ ", isolated(prompt.target));
  const answer = html("span", { class: "cv-target" }, target, " ", html("small", {}, "not ", isolated(prompt.distractor)));
  return html("p", { class: "cv-sentence" }, ...words, answer);
}

// So many decimals that the node's largest has two digits: bytes hold no more.
function cellText(level, scale) {
  if (Number.isNaN(level)) return "?";
  const text = Math.abs(level * scale).toFixed(Math.min(20, Math.max(0, 1 - Math.floor(Math.log10(scale || 1)))));
  if (Number(text) === 0) return "·";
  return (level < 0 ? "−" : "") + text;
}

function cell(level, scale, side) {
  const value = Number.isNaN(level) ? "not finite" : number(level * scale, 2);
  const kind = `cv-cell cv-of-${side}${level < 0 ? " cv-negative" : ""}`;
  const made = html("span", { class: kind, title: `${side}: ${value}` }, cellText(level, scale));
  made.style.setProperty("--level", `${Math.round(60 * Math.abs(level || 0))}%`);
  return made;
}

function roles(viewer, node) {
  const effects = viewer.circuit.column("effect", node);
  if (!effects || !effects.length) return null;
  const row = ([role, circuit, model, became]) => {
    const cells = [signed(circuit), signed(model), BECAME[became]];
    return tableRow(isolated(viewer.data.roles[role]), cells, became ? { class: "cv-changed" } : {});
  };
  const said = note("Difference of its mean activation between the two, in standard deviations.");
  return part("Role", said, table(["Effect of", "circuit", "model", ""], effects.map(row)));
}

function neighbours(viewer, node) {
  const { circuit } = viewer, { from, to } = circuit.links[node];
  const channel = circuit.sameChannel(node);
  const writes = WRITES.has(circuit.siteKind(node));
  const title = writes ? "Read from its residual channel by" : "Its residual channel is written by";
  return [
    linkList(viewer, "Edges from", from), linkList(viewer, "Edges to", to), pattern(circuit, node),
    linkList(viewer, title, channel.map((other) => [other, undefined])),
  ];
}

function pattern(circuit, node) {
  const head = circuit.found.head[node];
  if (!["attn_q", "attn_k"].includes(circuit.siteKind(node)) || head < 0) return null;
  return note(`It goes into the attention pattern of head ${head}; no weight leads on from it.`);
}

function linkList(viewer, title, links) {
  if (!links.length) return null;
  const size = ([, weight]) => Math.abs(weight ?? 0);
  const item = ([other, weight]) => {
    const said = weight === undefined ? "" : html("span", { class: `cv-weight cv-${weightClass(weight)}` }, signed(weight));
    return html("li", {}, linkTo(viewer, other), " ", said);
  };
  const sorted = [...links].sort((a, b) => size(b) - size(a));
  const items = (some) => html("ul", {}, ...some.map(item));
  const more = sorted.slice(NEIGHBOURS);
  const rest = more.length ? [html("details", {}, html("summary", {}, `${more.length} more`), items(more))] : [];
  return part(`${title} (${links.length})`, items(sorted.slice(0, NEIGHBOURS)), ...rest);
}

function linkTo(viewer, node) {
  const name = isolated(viewer.circuit.name(node));
  return button(name, { class: "cv-link-to", "data-to": node }, () => viewer.select(node, true));
}

function list(viewer) {
  const { circuit } = viewer, nodes = circuit.found.rank.slice(0, LISTED), known = Boolean(circuit.found.share);
  const about = (node) => {
    const { mark, name } = circuit.kind(node);
    return [percent(circuit.column("share", node)), number(circuit.column("r", node)), `${mark} ${name}`];
  };
  const rows = nodes.map((node) => tableRow(linkTo(viewer, node), known ? about(node) : []));
  const names = ["Node", ...(known ? ["Share of the importance", "r with the model", "In the model"] : [])];
  const count = counted(nodes.length, "node");
  const title = known ? `The ${count} that matter most, as a table` : `${count}, as a table`;
  const scroll = { class: "scroll cv-table", tabindex: "0", role: "region", "aria-label": "Nodes that matter most" };
  return [html("summary", {}, title), html("div", scroll, table(names, rows))];
}
