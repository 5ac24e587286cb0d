// The picture: nodes as marks, edges as curves, in plain SVG.

// A negative activation below this part of the node's largest has no bar.
const ZERO = 0.04;
const LONGEST = 14;
const shortened = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

const radius = (share) => 3.6 + 5 * Math.sqrt(Math.min(share, 0.4) / 0.4);

function shape(kind, r) {
  const p = (value) => value.toFixed(2);
  if (kind === "opposite") return `M${p(-r * 1.15)} ${p(-r * 0.9)}H${p(r * 1.15)}L0 ${p(r * 1.15)}Z`;
  if (kind === "vanishes") return `M0 ${p(-r * 1.3)}L${p(r * 1.3)} 0L0 ${p(r * 1.3)}L${p(-r * 1.3)} 0Z`;
  return `M${p(-r)} 0a${p(r)} ${p(r)} 0 1 0 ${p(2 * r)} 0a${p(r)} ${p(r)} 0 1 0 ${p(-2 * r)} 0Z`;
}

const curve = ([x1, y1], [x2, y2]) => {
  const [a, b, c, d, middle] = [x1, y1, x2, y2, (y1 + y2) / 2].map((value) => value.toFixed(1));
  return `M${a} ${b}C${a} ${middle} ${c} ${middle} ${c} ${d}`;
};
const weightClass = (weight) => (weight < 0 ? "minus" : "plus");
const thickness = (weight, heaviest) => 0.7 + 2.8 * Math.abs(weight ?? 0) / (heaviest || 1);

class Graph {
  constructor(viewer) {
    this.viewer = viewer;
    this.tip = html("div", { class: "cv-tip", "aria-hidden": "true", hidden: "" });
    this.box = html("div", { class: "cv-graph" }, this.tip);
  }

  get circuit() { return this.viewer.circuit; }

  draw() {
    const nodes = this.viewer.shown();
    this.at = layout(this.circuit, nodes, Math.max(300, this.box.clientWidth || 720));
    this.heaviest = this.circuit.found.edge.reduce((most, edge) => Math.max(most, Math.abs(edge[2] ?? 0)), 0);
    this.marks = new Map(nodes.map((node) => [node, this.mark(node)]));
    this.links = svg("g", { class: "cv-links" });
    const { width, height } = this.at;
    const ordered = this.at.lines.flat().map((node) => this.marks.get(node));
    const about = { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": this.label(nodes) };
    const picture = svg("svg", about, ...this.stripes(), this.edges(), this.links, ...this.labels(), ...ordered);
    this.listen(picture);
    this.box.replaceChildren(picture, this.tip);
    this.paint();
    this.choose();
  }

  listen(picture) {
    picture.addEventListener("click", (event) => this.over(event, (node) => this.viewer.select(node)));
    picture.addEventListener("pointerover", (event) => this.over(event, (node) => this.point(node)));
    picture.addEventListener("pointerleave", () => this.point(null));
    picture.addEventListener("focusin", (event) => this.over(event, (node) => this.point(node)));
    picture.addEventListener("focusout", () => this.point(null));
    picture.addEventListener("keydown", (event) => this.over(event, (node) => this.key(event, node)));
  }

  label(nodes) {
    return `${this.circuit.found.name}: ${counted(nodes.length, "node")} by layer and site. Arrow keys move, Enter selects.`;
  }

  over(event, act) {
    const mark = event.target.closest("[data-node]");
    if (mark) act(Number(mark.dataset.node)); else if (event.type === "pointerover") this.point(null);
  }

  mark(node) {
    const { circuit, at } = this, kind = circuit.kind(node).key;
    const r = radius(circuit.share(node)) * at.pitch / PITCH * 0.95, bar = (r * 0.6).toFixed(1);
    const [x, y] = this.place(node).map((value) => value.toFixed(1));
    const about = {
      class: `cv-node cv-${kind}${circuit.matters(node) ? " cv-matters" : ""}`, transform: `translate(${x} ${y})`,
      "data-node": node, tabindex: "-1", role: "button", "aria-label": circuit.describe(node),
    };
    const hit = svg("circle", { class: "cv-hit", r: (at.pitch / 2).toFixed(1) });
    const drawn = svg("path", { class: "cv-shape", d: shape(kind, r) });
    return svg("g", about, hit, drawn, svg("path", { class: "cv-minus", d: `M-${bar} 0H${bar}` }));
  }

  stripes() {
    const { width } = this.at;
    return this.at.stripes.map(({ layer, top, bottom }, place) => {
      const name = svg("text", { x: width - 6, y: top + 13, "text-anchor": "end" }, `layer ${layer}`);
      const area = svg("rect", { x: 0, y: top, width, height: bottom - top });
      return svg("g", { class: `cv-stripe${place % 2 ? " cv-odd" : ""}` }, area, name);
    });
  }

  labels() {
    return this.at.labels.map(({ x, y, text, kind }) => {
      const whole = svg("title", {}, text);
      return svg("text", { x, y, class: `cv-${kind}label` }, shortened(text), whole);
    });
  }

  // All edges in a few paths, by sign and by weight.
  edges() {
    const paths = new Map();
    const between = this.circuit.found.edge.filter(([from, to]) => this.marks.has(from) && this.marks.has(to));
    this.lines = Math.min(between.length, this.viewer.edges);
    for (const [from, to, weight] of between.slice(0, this.lines)) {
      const step = Math.ceil(4 * Math.abs(weight ?? 0) / (this.heaviest || 1)) || 1;
      const key = `${weightClass(weight)} ${step}`;
      paths.set(key, (paths.get(key) ?? "") + curve(this.place(from), this.place(to)));
    }
    const drawn = [...paths].map(([key, d]) => {
      const [sign, step] = key.split(" ");
      return svg("path", { class: `cv-edge cv-${sign}`, d, "stroke-width": (thickness(step - 1, 4)).toFixed(1) });
    });
    return svg("g", { class: "cv-edges" }, ...drawn);
  }

  place(node) { return [this.at.x.get(node), this.at.y.get(node)]; }

  // The selected node, its edges and its residual channel stand out.
  choose() {
    const chosen = this.viewer.selected;
    for (const [node, mark] of this.marks) {
      mark.classList.remove("cv-chosen", "cv-near");
      mark.setAttribute("aria-pressed", String(node === chosen));
    }
    this.links.replaceChildren();
    const first = this.at.lines[0]?.[0];
    this.stop(this.marks.has(chosen) ? chosen : first);
    if (!this.marks.has(chosen)) return;
    this.marks.get(chosen).classList.add("cv-chosen");
    const { from, to } = this.circuit.links[chosen];
    for (const other of this.circuit.sameChannel(chosen)) this.link(chosen, other, "cv-channel", 1.6);
    for (const [other, weight] of [...from, ...to]) {
      this.link(chosen, other, `cv-${weightClass(weight)}`, thickness(weight, this.heaviest));
    }
  }

  link(chosen, other, kind, width) {
    if (!this.marks.has(other)) return;
    this.marks.get(other).classList.add("cv-near");
    const ends = [this.place(chosen), this.place(other)].sort((a, b) => a[1] - b[1]);
    this.links.append(svg("path", { class: `cv-link ${kind}`, d: curve(...ends), "stroke-width": width.toFixed(1) }));
  }

  // One node of the picture takes part in the order of the Tab key.
  stop(node) {
    for (const mark of this.marks.values()) mark.setAttribute("tabindex", "-1");
    this.marks.get(node)?.setAttribute("tabindex", "0");
  }

  // Fills by activation, or by agreement where the stylesheet does it alone.
  paint() {
    const { mode, prompt, token } = this.viewer;
    const shows = mode !== "agreement" && this.circuit.activations !== null;
    this.box.classList.toggle("cv-active", shows);
    for (const [node, mark] of this.marks) {
      const level = shows && this.circuit.has(node) ? this.circuit.level(node, mode, prompt, token) : 0;
      mark.style.setProperty("--level", `${Math.round(100 * Math.abs(level || 0))}%`);
      mark.classList.toggle("cv-negative", level < -ZERO);
      mark.classList.toggle("cv-differs", shows && this.circuit.differs(node, prompt, token));
    }
  }

  point(node) {
    this.tip.hidden = node === null;
    if (node === null) return;
    const [x, y] = this.place(node), { width, height } = this.at;
    const right = x > width / 2, above = y > height / 2;
    this.tip.textContent = this.said(node);
    const set = (side, distance, on) => this.tip.style.setProperty(side, on ? `${distance}px` : "auto");
    set("top", y + 14, !above);
    set("bottom", height - y + 14, above);
    set("left", x, !right);
    set("right", width - x, right);
  }

  said(node) {
    const { mode, prompt, token } = this.viewer;
    const text = this.circuit.describe(node);
    if (mode === "agreement" || !this.circuit.has(node)) return text;
    const value = (side) => number(this.circuit.level(node, side, prompt, token) * this.circuit.scale(node), 2);
    const [circuit, model] = SIDES.map(value);
    return `${text}. Activation: circuit ${circuit}, model ${model}`;
  }

  key(event, node) {
    if (event.key === "Enter" || event.key === " ") this.viewer.select(node);
    else if (event.key.startsWith("Arrow")) this.walk(node, event.key);
    else return;
    event.preventDefault();
  }

  focus() { this.marks.get(this.viewer.selected)?.focus(); }

  walk(node, key) {
    const { lines } = this.at, all = lines.flat();
    const step = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
    const sideways = key === "ArrowLeft" || key === "ArrowRight";
    const row = lines.findIndex((line) => line.includes(node));
    const next = sideways ? all[all.indexOf(node) + step] : this.nearest(node, lines[row + step]);
    if (next === undefined) return;
    this.stop(next);
    this.marks.get(next).focus();
  }

  nearest(node, line) {
    const away = (other) => Math.abs(this.at.x.get(other) - this.at.x.get(node));
    return line?.reduce((best, other) => (away(other) < away(best) ? other : best));
  }
}
