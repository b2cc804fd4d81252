"use strict";
/* All pages of all blocks, one behind the other, as tiles: so many pages each, by how near it is. */
const shown = JSON.parse(document.getElementById("data").textContent);
const TILE = 8, ROWS = 60;
const KINDS = ["untouched", "read", "written", "swapped", "guard", "huge", "kept",
  "quarantined"];
const COLOURS = ["#e8e8e8", "#56b4e9", "#d55e00", "#000000", "#999999", "#009e73",
  "#f0e442", "#cc79a7"];
const byId = (name) => document.getElementById(name);
const grouped = (number) => number.toLocaleString("en");

/* A block: its address, size, state, fill, milliseconds from the program's begin to its allocation,
 * call stack, and runs of pages, each its length times six and its kind. */
const blocks = []; // those that there are at the moment, in the order of addresses
const starts = []; // the number of each block's first page
let total = 0, moment = -1;

/* Maps say what goes and what comes since the one before. */
function goTo(number) {
  const there = new Set();
  for (const [, gone, come] of shown.maps.slice(0, number + 1)) {
    for (const each of gone) there.delete(each);
    for (const each of come) there.add(each);
  }
  moment = number;
  blocks.length = starts.length = total = 0;
  const found = [...there].map((each) => shown.blocks[each]);
  for (const block of found.sort((one, other) => Number(one[0]) - Number(other[0]))) {
    const [address, size, state, fill, since, stack, runs] = block;
    const pages = runs.map((run) => [run % 6, Math.floor(run / 6)]);
    blocks.push({ address, size, state, fill, since, stack, pages });
    starts.push(total);
    for (const [, count] of pages) total += count;
  }
}

/* Bytes of each kind; of what was freed only what was kept, and addresses in quarantine. */
function totals() {
  const sums = KINDS.map(() => 0);
  for (const block of blocks)
    for (const [page, count] of block.pages) {
      const kind = kindOf(block, page);
      if (block.state !== "KEPT" || kind === 6) sums[kind] += count * shown.page_size;
    }
  return sums;
}

/* As the page has it when it comes. */
function tellTotals() {
  const sums = totals(), live = blocks.filter((each) => ["LIVE", "BUSY"].includes(each.state));
  const requested = live.reduce((sum, each) => sum + each.size, 0);
  const parts = KINDS.map((kind, place) => [kind, sums[place]]);
  const spans = shown.spans.length ? ` in ${grouped(shown.spans.length)} spans` : "";
  const there = parts.filter(([, size]) => size).map(([kind, size]) => `${kind} ${grouped(size)}`);
  byId("headline").textContent = `process ${shown.process}: ${grouped(live.length)} blocks of ` +
    `${grouped(requested)} bytes${spans}; ${there.join(", ") || "none"}`;
  parts.forEach(([, size], place) => {
    byId("totals").rows[place + 1].cells[1].textContent = grouped(size);
  });
}

function kindOf(block, page) {
  if (block.state === "KEPT" && (page === 2 || page === 5)) return 6;
  return block.state === "QUARANTINED" ? 7 : page;
}

function blockAt(page) {
  let low = 0, high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= page) low = middle; else high = middle;
  }
  return low;
}

const map = {
  canvas: byId("map"), first: 0, each: 1, most: 1, wide: 1, focus: 0,

  fit() {
    this.wide = Math.max(Math.floor((this.canvas.clientWidth || 1000) / TILE), 10);
    this.most = Math.max(Math.ceil(total / (this.wide * ROWS)), 1);
    this.each = this.most;
    this.first = 0;
    this.focus = Math.max(Math.min(this.focus, total - 1), 0);
    this.draw();
  },

  /* What there is most of in each tile, untouched pages last. */
  tiles() {
    const count = this.wide * ROWS, end = this.first + count * this.each;
    const sums = new Float64Array(count * KINDS.length);
    for (let number = blockAt(this.first); number < starts.length && starts[number] < end; number++) {
      const block = blocks[number];
      let at = starts[number];
      for (const [page, length] of block.pages) {
        const kind = kindOf(block, page);
        let from = Math.max(at, this.first);
        const to = Math.min(at + length, end);
        while (from < to) {
          const tile = Math.floor((from - this.first) / this.each);
          const until = Math.min(this.first + (tile + 1) * this.each, to);
          sums[tile * KINDS.length + kind] += until - from;
          from = until;
        }
        at += length;
      }
    }
    return sums;
  },

  draw() {
    const pen = this.canvas.getContext("2d"), sums = this.tiles();
    this.canvas.width = this.wide * TILE;
    this.canvas.height = ROWS * TILE;
    for (let tile = 0; tile < this.wide * ROWS; tile++) {
      let best = -1, most = 0;
      for (let kind = KINDS.length - 1; kind >= 0; kind--) {
        const weight = sums[tile * KINDS.length + kind] * (kind === 0 ? 0.01 : 1);
        if (weight > most) [best, most] = [kind, weight];
      }
      if (best < 0) continue;
      pen.fillStyle = COLOURS[best];
      pen.fillRect((tile % this.wide) * TILE, Math.floor(tile / this.wide) * TILE, TILE - 1, TILE - 1);
    }
    const tile = Math.floor((this.focus - this.first) / this.each);
    pen.strokeStyle = "#0072b2";
    pen.lineWidth = 2;
    pen.strokeRect((tile % this.wide) * TILE, Math.floor(tile / this.wide) * TILE, TILE - 1, TILE - 1);
    this.tell();
  },

  tell() {
    const number = blockAt(this.focus), block = blocks[number];
    if (!block) return;
    let at = starts[number], kind = 0;
    for (const [page, length] of block.pages) {
      if (this.focus < at + length) { kind = kindOf(block, page); break; }
      at += length;
    }
    const place = (this.focus - starts[number]) * shown.page_size;
    const address = Number(block.address) - Number(block.address) % shown.page_size + place;
    const span = shown.spans.find(([start, end]) => start <= address && address < end);
    const age = (shown.maps[moment][0] / 1000 - block.since) / 1000;
    const calls = block.stack < 0 ? [] : shown.stacks[block.stack];
    byId("told").textContent = `${block.address}: ${grouped(block.size)} bytes, ` +
      `${block.state.toLowerCase()}, ${block.fill.toLowerCase()}` +
      `${block.since ? `, for ${Math.max(age, 0).toFixed(2)} s` : ""}; ` +
      (span ? `in a span of ${grouped(span[1] - span[0])} bytes; ` : "") +
      `at byte ${grouped(place)}: ${KINDS[kind]}; a tile is ${grouped(this.each)} pages` +
      (calls.length ? `; from ${calls.join(" < ")}` : "");
  },

  /* So many times nearer, around the focus. */
  zoom(factor) {
    this.each = Math.min(Math.max(Math.round(this.each / factor), 1), this.most);
    const shownPages = this.each * this.wide * ROWS;
    const wanted = this.focus - shownPages / 2;
    this.first = Math.max(0, Math.min(Math.floor(wanted / this.each) * this.each, total - shownPages));
    this.first = Math.max(0, this.first);
    this.draw();
  },

  move(pages) {
    this.focus = Math.max(0, Math.min(this.focus + pages, total - 1));
    const shownPages = this.each * this.wide * ROWS;
    if (this.focus < this.first || this.focus >= this.first + shownPages) this.zoom(1);
    else this.draw();
  },

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale) / TILE);
    const row = Math.floor(((event.clientY - box.top) * scale) / TILE);
    return this.first + (row * this.wide + column) * this.each;
  },
};

const KEYS = {
  ArrowRight: () => map.move(map.each), ArrowLeft: () => map.move(-map.each),
  ArrowDown: () => map.move(map.each * map.wide), ArrowUp: () => map.move(-map.each * map.wide),
  "+": () => map.zoom(2), "-": () => map.zoom(0.5), Escape: () => map.fit(),
};
map.canvas.addEventListener("keydown", (event) => {
  if (!KEYS[event.key]) return;
  KEYS[event.key]();
  event.preventDefault();
});
map.canvas.addEventListener("mousemove", (event) => {
  const page = map.at(event);
  if (page >= total) return;
  map.focus = page;
  map.draw();
});
map.canvas.addEventListener("click", () => map.zoom(4));
byId("nearer").addEventListener("click", () => map.zoom(2));
byId("farther").addEventListener("click", () => map.zoom(0.5));
window.addEventListener("resize", () => show(moment));
byId("key").innerHTML = KINDS.map((kind, place) =>
  `<span class="key" style="--colour: ${COLOURS[place]}">${kind}</span>`).join(" ");

/* As near as it was. */
function show(number) {
  const nearer = map.most > map.each, { each, first, focus } = map;
  goTo(number);
  if (byId("at")) byId("at").textContent = `${(shown.maps[number][0] / 1e6).toFixed(2)} s`;
  tellTotals();
  map.fit();
  if (!nearer || focus >= total) return;
  Object.assign(map, { each: Math.min(each, map.most), first, focus });
  map.draw();
}
if (byId("moment")) byId("moment").addEventListener("input", () => show(Number(byId("moment").value)));
show(shown.first);
