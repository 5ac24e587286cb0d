// The viewer of a task: its choices, the picture, the card.

const NODE_STEPS = [30, 100, 300, 1000];
const EDGE_STEPS = [0, 100, 400, 2000];
const MOST_AT_FIRST = { nodes: 300, edges: 400 };

class Viewer {
  constructor(box) {
    this.data = JSON.parse(box.querySelector("script").textContent);
    this.drawable = this.data.circuits.filter((circuit) => circuit.site);
    Object.assign(this, { sides: "both", prompt: 0, mode: "agreement" });
    this.token = this.answer();
    this.graph = new Graph(this);
    this.controls = html("div", { class: "choosers cv-controls" });
    this.strip = html("p", { class: "cv-strip" });
    this.key = html("p", { class: "key cv-key" });
    this.said = html("p", { class: "note", "aria-live": "polite", "data-said": "" });
    this.told = html("p", { class: "unseen", role: "status" });
    this.card = html("aside", { class: "cv-card", "aria-label": "Selected node" });
    this.list = html("details", { class: "cv-list" });
    const left = html("div", { class: "cv-left" }, this.strip, this.key, this.graph.box, this.list);
    const main = html("div", { class: "cv-main" }, left, this.card);
    box.append(html("div", { class: "cv-stage" }, this.hint(), this.controls, this.said, this.told, main));
    this.open(0);
    box.classList.add("cv-live");
    this.follow();
  }

  hint() {
    const text = "Kept nodes by layer and site, edges by weight. A click on a node shows its card and its neighbours.";
    return html("p", { class: "question cv-hint" }, text);
  }

  answer() { return Math.max(0, (this.data.prompts[this.prompt]?.tokens.length ?? 1) - 1); }

  open(place) {
    this.circuit = new Circuit(this.data, this.drawable[place]);
    this.place = place;
    if (!this.circuit.activations) this.mode = "agreement";
    this.nodes = Math.min(MOST_AT_FIRST.nodes, this.circuit.count);
    this.edges = Math.min(MOST_AT_FIRST.edges, this.circuit.found.edge.length);
    this.selected = this.circuit.found.rank[0] ?? null;
    this.showControls();
    this.showMode();
    this.redraw();
    this.card.replaceChildren(...card(this));
    this.list.replaceChildren(...list(this));
  }

  // The nodes that matter most, and the selected one.
  shown() {
    const nodes = this.circuit.found.rank.slice(0, this.nodes);
    return this.selected === null || nodes.includes(this.selected) ? nodes : [...nodes, this.selected];
  }

  redraw() {
    this.graph.draw();
    this.said.textContent = this.summary();
  }

  summary() {
    const { found } = this.circuit;
    const edges = found.edges ?? found.edge.length;
    const parts = [counted(found.size, "node"), ...(edges ? [counted(edges, "edge")] : []), `validation loss ${number(found.loss)} nats`];
    const all = `${capital(found.name)}: ${parts.join(", ")}${found.reached ? "" : "; the target loss was not reached"}.`;
    const hidden = [[found.size - this.graph.marks.size, "node"], [edges - this.graph.lines, "edge"]];
    const names = hidden.filter(([many]) => many > 0).map(([many, what]) => counted(many, what)).join(" and ");
    const those = found.edge.length < edges ? "those of the selected node that this page has" : "edges of the selected node";
    const always = found.edge.length ? `; ${those} always are, to nodes that are drawn` : "";
    const rest = names ? ` Not drawn: ${names}${always}.` : "";
    return [all + rest, ...found.notes.map((text) => `${capital(text)}.`)].join(" ");
  }

  showControls() {
    const seeds = this.drawable.map(({ name, size }, place) => [String(place), `${name} (${counted(size, "node")})`]);
    const modes = ["agreement", ...(this.circuit.activations ? ["model", "circuit"] : [])].map((mode) => [mode, mode]);
    const open = (place) => {
      this.open(Number(place));
      this.controls.querySelector("select").focus();
    };
    this.controls.replaceChildren(
      chooser("Circuit", "circuit", seeds, String(this.place), open),
      ...(modes.length > 1 ? [toggle("Nodes show", "mode", modes, this.mode, (mode) => this.show({ mode }))] : []),
      ...this.limits("nodes", NODE_STEPS, this.circuit.count, this.circuit.found.size, this.circuit.found.order),
      ...this.limits("edges", EDGE_STEPS, this.circuit.found.edge.length, this.circuit.found.edges, "heaviest"));
  }

  // How many are drawn, of so many in this page and so many in the circuit; no choice where there are but few.
  limits(what, steps, all, whole, which) {
    if (all === 0 || (what === "nodes" && all <= steps[0])) return [];
    const name = (step) => (step === all && all === (whole ?? all) ? `all ${step}` : step === 0 ? "of the selected node" : `${step} ${which}`);
    const options = [...steps.filter((step) => step < all), all].map((step) => [String(step), name(step)]);
    return [chooser(capital(what), what, options, String(this[what]), (value) => this.limit({ [what]: Number(value) }))];
  }

  limit(change) {
    Object.assign(this, change);
    this.redraw();
  }

  show(change) {
    Object.assign(this, change);
    this.showMode();
    this.graph.paint();
  }

  // The prompt whose activations the picture shows, and what its marks mean.
  showMode() {
    const active = this.mode !== "agreement";
    this.strip.hidden = !active;
    this.strip.replaceChildren(...(active ? this.promptChoice() : []));
    const marks = active ? activeKey() : this.circuit.found.kind ? agreementKey(this.circuit) : [];
    this.key.replaceChildren(...marks, ...(this.circuit.found.edge.length ? edgeKey() : []));
  }

  promptChoice() {
    const { prompts } = this.data;
    const options = prompts.map(({ tokens, target }, place) => [String(place), `${tokens.join(" ")} → ${target}`]);
    const choose = chooser("Prompt", "prompt", options, String(this.prompt), (value) => {
      this.prompt = Number(value);
      this.show({ token: this.answer() });
      this.strip.querySelector("select").focus();
    });
    const tokens = prompts[this.prompt].tokens.map((token, place) => [String(place), token]);
    const at = toggle("at the token", "token", tokens, String(this.token), (value) => {
      this.token = Number(value);
      this.graph.paint();
    });
    return [choose, at];
  }

  showSides(sides) {
    this.sides = sides;
    this.card.replaceChildren(...card(this));
    this.card.querySelector("[data-toggle=sides] [aria-pressed=true]").focus();
  }

  // `move`: the focus goes to the card, for what was clicked may be gone.
  select(node, move = false) {
    this.selected = node;
    if (this.graph.marks.has(node)) this.graph.choose();
    else this.redraw();
    this.card.replaceChildren(...card(this));
    this.card.scrollTop = 0;
    // In a narrow window it lies below the picture.
    if (getComputedStyle(this.card).position === "static") this.card.scrollIntoView({ block: "nearest" });
    this.told.textContent = `Selected: ${this.circuit.describe(node)}`;
    if (move) this.card.querySelector("[data-card]").focus();
  }

  // The picture is as wide as its place.
  follow() {
    let width = this.graph.box.clientWidth;
    new ResizeObserver(() => {
      const now = this.graph.box.clientWidth;
      if (now === 0 || Math.abs(now - width) < 8) return;
      width = now;
      this.graph.draw();
    }).observe(this.graph.box);
  }
}

function keyEntry(kind, mark, text) {
  return html("span", { class: `cv-${kind}` }, html("b", { "aria-hidden": "true" }, mark), ` ${text}`);
}
const agreementKey = ({ kinds, threshold }) => [
  ...kinds.map(({ key, mark, name }) => keyEntry(key, mark, name)),
  html("span", {}, `larger: matters more; ringed: over ${percent(threshold)} of the importance`),
];
const activeKey = () => [
  keyEntry("positive", "●", "positive"), keyEntry("below", "⊖", "negative"),
  html("span", {}, "pale: near 0, against the node's largest in circuit and model"),
  keyEntry("opposite", "◌", "ringed: the other sign on the other side"),
];
const edgeKey = () => [
  keyEntry("positive", "—", "positive weight"), keyEntry("below", "╌", "negative weight"),
  keyEntry("channel", "┈", "same residual channel as the selected node"),
];

document.querySelectorAll("[data-viewer]").forEach((box) => {
  if (box.querySelector("script")) new Viewer(box);
});
