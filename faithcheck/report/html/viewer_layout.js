// Where the nodes lie: a line or more for each site, in order of execution.

const PARALLEL = new Set(["attn_q", "attn_k", "attn_v"]);
// In pixels; a picture narrower than NARROW has one site a line.
const PITCH = 19, WIDEST_PITCH = 30, LINE = 20, GAP = 24, GUTTER = 98, HEAD_LABEL = 13, EDGE = 8, NARROW = 560;

// Sites in order from top to bottom; queries, keys and values of a layer beside each other where there is room.
function bands(circuit, nodes, width) {
  const bySite = untangled(circuit, nodes);
  const found = [];
  for (const [site, ordered] of bySite) {
    const [, kind, layer] = circuit.sites[site];
    const block = { site, kind, layer, nodes: ordered };
    const last = found.at(-1);
    const joins = width >= NARROW && PARALLEL.has(kind) && last && last[0].layer === layer && PARALLEL.has(last[0].kind);
    if (joins) last.push(block); else found.push([block]);
  }
  return found;
}

// [site, its nodes], each site's ordered by where the nodes lie that they have edges to, so that edges cross less: the
// barycentre method of Sugiyama, Tagawa and Toda (1981), down and up again. Heads stay together.
function untangled(circuit, nodes) {
  const { site, number, head } = circuit.found, rows = new Map(), at = new Map();
  for (const node of nodes) rows.set(site[node], [...(rows.get(site[node]) ?? []), node]);
  const sites = [...rows.keys()].sort((a, b) => a - b);
  const settle = (row) => row.forEach((node, place) => at.set(node, (place + 0.5) / row.length));
  for (const row of rows.values()) settle(row.sort((a, b) => head[a] - head[b] || number[a] - number[b]));
  const turn = (row, ends) => {
    const middle = new Map(row.map((node) => [node, barycentre(circuit.links[node][ends], at) ?? at.get(node)]));
    settle(row.sort((a, b) => head[a] - head[b] || middle.get(a) - middle.get(b)));
  };
  for (let sweep = 0; sweep < 4; sweep += 1) {
    for (const one of sites) turn(rows.get(one), "from");
    for (const one of [...sites].reverse()) turn(rows.get(one), "to");
  }
  return sites.map((one) => [one, rows.get(one)]);
}

// The mean place of what edges lead to, each by its weight; undefined where none does.
function barycentre(links, at) {
  let sum = 0, mass = 0;
  for (const [other, weight] of links) {
    if (!at.has(other)) continue;
    sum += Math.abs(weight ?? 0) * at.get(other);
    mass += Math.abs(weight ?? 0);
  }
  return mass > 0 ? sum / mass : undefined;
}

// Where there is room for it, nodes lie further apart.
function pitchOf(rows, width) {
  const count = (band) => band.reduce((sum, block) => sum + block.nodes.length, band.length > 1 ? 3 : 0);
  const most = Math.max(1, ...rows.map(count));
  return Math.min(WIDEST_PITCH, Math.max(PITCH, (width - GUTTER - 30) / most));
}

// {x, y: node -> place, lines: nodes of each line, labels, stripes, pitch, width, height}
function layout(circuit, nodes, width) {
  const rows = bands(circuit, nodes, width);
  const pitch = pitchOf(rows, width);
  const made = { x: new Map(), y: new Map(), lines: [], labels: [], stripes: [], width, height: 0, pitch };
  let y = 10, layer = null;
  for (const band of rows) {
    if (band[0].layer !== layer) {
      layer = band[0].layer;
      made.stripes.push({ layer, top: y - 10, bottom: y });
    }
    y = placeBand(circuit, made, band, y);
    made.stripes.at(-1).bottom = y;
  }
  made.height = y + 4;
  made.lines = made.lines.filter((line) => line.length);
  return made;
}

// Sites beside each other have their names above them, a site alone has it on its left. Returns where the band ends.
function placeBand(circuit, made, band, top) {
  const beside = band.length > 1, first = made.lines.length;
  const weight = (block) => Math.max(block.nodes.length, 3);
  const all = band.reduce((sum, block) => sum + weight(block), 0);
  const start = beside ? EDGE : GUTTER, across = made.width - start - EDGE;
  let left = start, bottom = top;
  for (const block of band) {
    const width = across * weight(block) / all, headed = circuit.found.head[block.nodes[0]] >= 0;
    const name = beside ? { x: left, y: top + 8 } : { x: EDGE, y: top + LINE / 2 + (headed ? HEAD_LABEL : 0) };
    made.labels.push({ ...name, text: circuit.sites[block.site][0], kind: "site" });
    const room = { left, top: beside ? top + 16 : top, width: width - (beside ? 14 : 0), first };
    bottom = Math.max(bottom, (headed ? placeHeads : placeLines)(circuit, made, block.nodes, room));
    left += width;
  }
  return bottom + GAP;
}

function put(made, node, line, x, y) {
  made.x.set(node, x);
  made.y.set(node, y + LINE / 2);
  (made.lines[line] ??= []).push(node);
}

// Nodes without heads: filled column by column, so that neighbours in the order stay neighbours in the picture.
function placeLines(circuit, made, nodes, { left, top, width, first }) {
  const lines = Math.ceil(nodes.length / Math.max(1, Math.floor(width / made.pitch)));
  const pitch = Math.min(WIDEST_PITCH, width / Math.ceil(nodes.length / lines));
  nodes.forEach((node, place) => {
    const line = place % lines, column = Math.floor(place / lines);
    put(made, node, first + line, left + (column + 0.5) * pitch, top + line * LINE);
  });
  return top + lines * LINE;
}

// Nodes of heads: line by line, heads apart and named.
function placeHeads(circuit, made, nodes, { left, top, width, first }) {
  let x = left, y = top + HEAD_LABEL, line = first, head = null;
  for (const node of nodes) {
    const next = circuit.found.head[node];
    if (head !== null && next !== head) x += 12;
    if (x > left && x + made.pitch > left + width) { x = left; y += LINE + HEAD_LABEL; line += 1; head = null; }
    if (next !== head) made.labels.push({ x, y: y - 1, text: `h${next}`, kind: "head" });
    head = next;
    put(made, node, line, x + made.pitch / 2, y);
    x += made.pitch;
  }
  return y + LINE;
}
