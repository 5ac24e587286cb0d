// A circuit as the page holds it, made ready to be asked.

// In the order of viewer_roles.KINDS, which has their names.
const KINDS = [
  { key: "same", mark: "●", said: "means in the model what it means in the circuit" },
  {
    key: "alike", mark: "◌",
    said: "does not go with the model's activation, or has another role there; yet with the model's activation in its "
      + "place it loses a fifth of its importance at most, so node_roles counts it with those that mean the same",
  },
  { key: "other", mark: "○", said: "does not go with the model's activation: it means something else there" },
  { key: "opposite", mark: "▼", said: "has a role in the circuit and the opposite one in the model" },
  { key: "vanishes", mark: "◆", said: "has a role in the circuit that it does not have in the model" },
];
const UNWEIGHED = { key: "plain", name: "", mark: "", said: "" };
const SIDES = ["circuit", "model"];
const WRITES = new Set(["attn_out", "mlp_out"]);
const READS = new Set(["attn_in", "mlp_in"]);
// Both activations of a node are so large a part of its largest, with opposite signs, where they differ.
const DIFFERS = 0.1;

class Circuit {
  constructor(data, found) {
    this.found = found;
    this.sites = data.sites;
    this.kinds = KINDS.map((kind, place) => ({ ...kind, name: data.kinds[place] }));
    this.threshold = data.matters;
    this.count = found.site.length;
    this.lengths = data.prompts.map((prompt) => prompt.tokens.length);
    this.starts = this.lengths.map((_, place) => this.lengths.slice(0, place).reduce((sum, length) => sum + length, 0));
    this.total = this.lengths.reduce((sum, length) => sum + length, 0);
    this.links = this.neighbours();
    this.activations = this.unpacked();
  }

  neighbours() {
    const links = Array.from({ length: this.count }, () => ({ from: [], to: [] }));
    for (const [from, to, weight] of this.found.edge) {
      links[from].to.push([to, weight]);
      links[to].from.push([from, weight]);
    }
    return links;
  }

  // Bytes lie in the order of `rank`, those of the nodes that matter most first.
  unpacked() {
    const packed = this.found.activation;
    if (!packed) return null;
    const bytes = Int8Array.from(atob(packed.bytes), (letter) => letter.charCodeAt(0));
    const place = new Map(packed.scale.map((_, order) => [this.found.rank[order], order]));
    return { bytes, place, scale: packed.scale };
  }

  has(node) { return this.activations !== null && this.activations.place.has(node); }
  scale(node) { return this.activations.scale[this.activations.place.get(node)]; }

  // An activation in units of the node's largest; NaN where it is not finite.
  level(node, side, prompt, token) {
    const order = this.activations.place.get(node);
    const byte = this.activations.bytes[(2 * order + SIDES.indexOf(side)) * this.total + this.starts[prompt] + token];
    return byte === -128 ? NaN : byte / 127;
  }

  column(name, node) { return this.found[name] ? this.found[name][node] : null; }
  share(node) { return this.column("share", node) ?? 0; }
  matters(node) { return this.share(node) > this.threshold; }
  kind(node) { return this.found.kind ? this.kinds[this.found.kind[node]] : UNWEIGHED; }
  site(node) { return this.sites[this.found.site[node]]; }
  siteKind(node) { return this.site(node)[1]; }
  name(node) { return `${this.site(node)[0]} ${this.found.number[node]}`; }

  describe(node) {
    const parts = [this.name(node)];
    if (this.found.head[node] >= 0) parts.push(`head ${this.found.head[node]}`);
    if (this.found.share) {
      const [share, r] = ["share", "r"].map((name) => this.column(name, node));
      parts.push(`${percent(share)} of the importance`, `r ${number(r)}`, this.kind(node).name);
    }
    return parts.join(", ");
  }

  // Nodes that write what this one reads from the residual stream, or read what it writes.
  sameChannel(node) {
    const kind = this.siteKind(node), site = this.found.site[node], channel = this.found.number[node];
    if (!WRITES.has(kind) && !READS.has(kind)) return [];
    const others = WRITES.has(kind) ? READS : WRITES;
    const meets = (other) => this.found.number[other] === channel && others.has(this.siteKind(other))
      && (WRITES.has(kind) ? this.found.site[other] > site : this.found.site[other] < site);
    return Array.from({ length: this.count }, (_, other) => other).filter(meets);
  }

  differs(node, prompt, token) {
    if (!this.has(node)) return false;
    const [circuit, model] = SIDES.map((side) => this.level(node, side, prompt, token));
    return circuit * model < 0 && Math.min(Math.abs(circuit), Math.abs(model)) >= DIFFERS;
  }
}
