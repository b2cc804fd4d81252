"use strict";
const shown = JSON.parse(document.getElementById("data").textContent);
const MOST = 1000; // frames of a level
const ROW = 20;
const byId = (name) => document.getElementById(name);
const grouped = (number) => Math.round(number).toLocaleString("en");
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "");

/* The tree of call stacks: by the outermost call, or by the innermost. */

function pathOf(node) {
  const path = [];
  for (; node >= 0; node = shown.nodes[node][0]) path.push(shown.nodes[node][1]);
  return path; // the innermost first
}

function treeOf(pairs, inverted) {
  const root = { frame: -1, values: pairs.map(() => 0), callees: new Map(), parent: null };
  pairs.forEach(([nodes, values], run) => {
    nodes.forEach((node, place) => {
      const path = inverted ? pathOf(node) : pathOf(node).reverse();
      let at = root;
      at.values[run] += values[place];
      for (const frame of path) {
        let next = at.callees.get(frame);
        if (!next) {
          next = { frame, values: pairs.map(() => 0), callees: new Map(), parent: at };
          at.callees.set(frame, next);
        }
        next.values[run] += values[place];
        at = next;
      }
    });
  });
  return root;
}

const weight = (node) => Math.max(...node.values);
const nameOf = (node) => (node.frame < 0 ? "all" : shown.frames[node.frame][0]);
const placeOf = (node) => (node.frame < 0 ? "" : shown.frames[node.frame][1]);

/* The flame graph */

const flame = {
  canvas: byId("flame"), root: null, top: null, focus: null, rows: [], boxes: [],

  build() {
    const measure = byId("measure").value;
    const pairs = shown.runs.map((run) =>
      measure === "at" ? run.moments[byId("moment").value]?.[1] ?? [[], []] : run.values[measure]);
    this.root = treeOf(pairs, byId("inverted").checked);
    this.top = this.focus = this.root;
    this.layOut();
  },

  /* Rows from the top's down, each with its widest frames. */
  layOut() {
    this.rows = [];
    let row = [{ node: this.top, left: 0, right: 1 }];
    while (row.length) {
      this.rows.push(row);
      const next = [];
      for (const { node, left, right } of row) {
        const callees = [...node.callees.values()].sort((a, b) => weight(b) - weight(a));
        const total = Math.max(weight(node), callees.reduce((sum, each) => sum + weight(each), 0));
        let at = left;
        for (const callee of callees) {
          const width = total ? ((right - left) * weight(callee)) / total : 0;
          next.push({ node: callee, left: at, right: at + width });
          at += width;
        }
      }
      row = next.sort((a, b) => b.right - b.left - (a.right - a.left)).slice(0, MOST);
      row.sort((a, b) => a.left - b.left);
    }
    this.draw();
  },

  colour(node) {
    if (node.values.length > 1) { // blue: less in the second; orange: more
      const [before, after] = node.values;
      const share = (after - before) / Math.max(before, after, 1);
      const light = 85 - Math.round(Math.abs(share) * 40);
      return Math.abs(share) < 0.01 ? "#bbb" : `hsl(${share > 0 ? 26 : 202} 90% ${light}%)`;
    }
    let hash = 0;
    for (const letter of nameOf(node)) hash = (hash * 31 + letter.codePointAt(0)) % 1000;
    return `hsl(${35 + (hash % 20)} ${60 + (hash % 30)}% ${62 + (hash % 18)}%)`;
  },

  draw() {
    const { canvas } = this, width = canvas.clientWidth || 1000, scale = window.devicePixelRatio || 1;
    const height = ROW * Math.min(Math.max(this.rows.length, 3), 60);
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d"), wanted = byId("search").value.toLowerCase();
    pen.scale(scale, scale);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    this.boxes = [];
    let found = 0;
    this.rows.forEach((row, depth) => {
      for (const { node, left, right } of row) {
        const x = left * width, wide = (right - left) * width, y = depth * ROW;
        const matches = wanted && nameOf(node).toLowerCase().includes(wanted);
        found += matches ? 1 : 0;
        if (wide < 0.3) continue;
        pen.fillStyle = matches ? "#cc79a7" : this.colour(node);
        pen.fillRect(x, y, Math.max(wide - 0.5, 0.5), ROW - 1);
        this.boxes.push({ node, x, y, wide });
        if (wide > 30) {
          pen.save();
          pen.beginPath();
          pen.rect(x, y, wide - 3, ROW);
          pen.clip();
          pen.fillStyle = "#000";
          pen.fillText(nameOf(node), x + 3, y + ROW / 2);
          pen.restore();
        }
        if (node === this.focus) {
          pen.strokeStyle = "#000";
          pen.lineWidth = 2;
          pen.strokeRect(x + 1, y + 1, Math.max(wide - 2, 1), ROW - 3);
        }
      }
    });
    byId("found").textContent = wanted ? `${found} frames` : "";
    this.tell();
  },

  tell() {
    const node = this.focus, whole = this.root.values;
    const parts = node.values.map((value, run) =>
      `${grouped(value)} (${percent(value, whole[run])})`);
    byId("told").textContent =
      `${nameOf(node)}: ${parts.join(" → ")}${placeOf(node) ? ` — ${placeOf(node)}` : ""}`;
  },

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    return this.boxes.find((each) =>
      x >= each.x && x < each.x + each.wide && y >= each.y && y < each.y + ROW)?.node;
  },

  move(node) {
    if (!node) return;
    this.focus = node;
    this.draw();
  },

  /* The neighbour in its row. */
  beside(step) {
    for (const row of this.rows) {
      const place = row.findIndex((each) => each.node === this.focus);
      if (place >= 0) return row[place + step]?.node;
    }
  },

  widest() {
    return [...this.focus.callees.values()].sort((a, b) => weight(b) - weight(a))[0];
  },

  zoom(node) {
    this.top = this.focus = node ?? this.root;
    this.layOut();
  },

  key(event) {
    const does = {
      ArrowDown: () => this.move(this.widest()),
      ArrowUp: () => (this.focus === this.top ? this.zoom(this.top.parent) : this.move(this.focus.parent)),
      ArrowLeft: () => this.move(this.beside(-1)),
      ArrowRight: () => this.move(this.beside(1)),
      Enter: () => this.zoom(this.focus),
      Escape: () => this.zoom(this.root),
    }[event.key];
    if (!does) return;
    does();
    event.preventDefault();
  },
};

/* The data, for other programs: what patalloc report --json and --csv print. */

function asCsv() {
  const names = Object.keys(shown.measures), quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = [["file", ...names, "stack"].join(",")];
  for (const run of shown.runs) {
    const values = names.map((name) => new Map(run.values[name][0].map((node, place) =>
      [node, run.values[name][1][place]])));
    for (const node of new Set(values.flatMap((each) => [...each.keys()]))) {
      const path = pathOf(node).reverse().map((frame) => shown.frames[frame][0]).join(";");
      lines.push([quoted(run.file), ...values.map((each) => each.get(node) ?? 0), quoted(path)].join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}

function offer(link, name, kind, content) {
  link.download = name;
  link.href = "#";
  link.addEventListener("click", () => {
    link.href = URL.createObjectURL(new Blob([content()], { type: kind }));
  });
}

offer(byId("json"), "trace.json", "application/json", () => JSON.stringify(shown));
offer(byId("csv"), "stacks.csv", "text/csv", asCsv);

for (const name of ["measure", "inverted"]) byId(name).addEventListener("change", () => flame.build());
byId("moment").addEventListener("input", () => {
  byId("measure").value = "at";
  const moment = shown.runs[0].moments[byId("moment").value];
  byId("when").textContent = moment ? `${(moment[0] / 1e6).toFixed(2)} s` : "";
  flame.build();
});
byId("search").addEventListener("input", () => flame.draw());
flame.canvas.addEventListener("mousemove", (event) => {
  const node = flame.at(event);
  if (node && node !== flame.focus) flame.move(node);
});
flame.canvas.addEventListener("click", (event) => flame.zoom(flame.at(event)));
flame.canvas.addEventListener("keydown", (event) => flame.key(event));
window.addEventListener("resize", () => flame.draw());
flame.build();
