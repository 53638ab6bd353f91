// Scores as dots with their intervals: one on a gauge, or that of each modality below the overall one.
import { MODALITIES, NAMES, draw, make, signed } from "./parts.js";

const EDGE = 3; // percent of the width left free at either end

/** A dot and an interval on the scale, with the names of its ends. */
export function gauge(value, score, scale) {
  const at = place(scale);
  const marks = scale.concat(0).map((v) => {
    const anchor = v === 0 ? "middle" : v === scale[0] ? "start" : "end";
    const name = v === 0 ? "neutral" : `${signed(v, 0)} ${v < 0 ? "negative" : "positive"}`;
    return [
      draw("line", { class: "tick", x1: at(v), x2: at(v), y1: 8, y2: 24 }),
      draw("text", { x: at(v), y: 42, "text-anchor": anchor }, name),
    ];
  });
  return draw("svg", { class: "gauge", role: "img", "aria-label": describe("Overall", value, score, scale) },
    draw("line", { class: "rail", x1: at(scale[0]), x2: at(scale[1]), y1: 16, y2: 16 }), ...span(score, at, 16), ...marks.flat(),
    draw("circle", { class: "dot-mark", cx: at(value), cy: 16, r: 8 }));
}

/** The scores of a single utterance: the overall one and each modality's, with interval and contribution. */
export function dots(one, scale) {
  const there = MODALITIES.filter((m) => one.unimodal[m]);
  const rows = [row("fusion", one.score, scale, ""), ...there.map((m) => {
    const share = one.influence[m];
    return row(m, one.unimodal[m], scale, share === undefined ? "" : `contribution ${signed(share)}`);
  })];
  const at = place(scale);
  const axis = draw("svg", { class: "axis-of", "aria-hidden": "true" },
    draw("text", { x: at(scale[0]), y: 12 }, `${signed(scale[0], 0)} negative`),
    draw("text", { x: at(0), y: 12, "text-anchor": "middle" }, "neutral"),
    draw("text", { x: at(scale[1]), y: 12, "text-anchor": "end" }, `${signed(scale[1], 0)} positive`));
  return make("div", { class: "apart" }, ...rows.flat(), axis);
}

function row(task, score, scale, note) {
  const at = place(scale);
  const name = task === "fusion" ? NAMES.fusion : `${NAMES[task]} alone`;
  const range = score.low === null ? "" : `${signed(score.low)} to ${signed(score.high)}`;
  return [
    make("b", { class: task }, name),
    make("span", {}, `${score.words} ${signed(score.value)}`, make("small", { class: "quiet" }, [range, note].filter(Boolean).join(", "))),
    draw("svg", { class: `rail-of ${task}`, role: "img", "aria-label": describe(name, score.value, score, scale) },
      draw("line", { class: "rail", x1: at(scale[0]), x2: at(scale[1]), y1: 12, y2: 12 }), ...span(score, at, 12),
      draw("line", { class: "tick", x1: at(0), x2: at(0), y1: 4, y2: 20 }), draw("circle", { cx: at(score.value), cy: 12, r: task === "fusion" ? 8 : 6 })),
  ];
}

function place([low, high]) {
  return (v) => `${EDGE + ((100 - 2 * EDGE) * (v - low)) / (high - low)}%`;
}

function span(score, at, y) {
  return score && score.low !== null ? [draw("line", { class: "span", x1: at(score.low), x2: at(score.high), y1: y, y2: y })] : [];
}

function describe(name, value, score, [low, high]) {
  const range = score && score.low !== null ? `, interval ${signed(score.low)} to ${signed(score.high)}` : "";
  return `${name}: ${signed(value)} on a scale from ${signed(low, 0)} to ${signed(high, 0)}${range}`;
}
