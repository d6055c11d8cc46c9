/* The interactive figure of the chapter on the weight. The arithmetic is that of cxrlib.evaluation.decisions.outlook;
   node can load this file, and the tests compare the two. No request is made: the data lie in the page. */
(function () {
  "use strict";
  var PER = 1000;

  function expectedCost(sensitivity, specificity, s) {
    return s.prevalence * (1 - sensitivity) * s.cost_fn + (1 - s.prevalence) * (1 - specificity) * s.cost_fp;
  }

  /* Index of the lowest cut strictly above `logOdds`; the first cut is infinite (null). */
  function operatingPoint(data, logOdds) {
    var low = 0, high = data.cut.length - 1;
    while (low < high) {
      var middle = (low + high + 1) >> 1;
      if (data.cut[middle] === null || data.cut[middle] > logOdds) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function cheapest(data, s) {
    var best = 0, least = Infinity;
    for (var k = 0; k < data.cut.length; k++) {
      var cost = expectedCost(data.sensitivity[k], data.specificity[k], s);
      if (cost < least) { least = cost; best = k; }
    }
    return best;
  }

  function odds(p) { return p / (1 - p); }

  function outlook(data, s) {
    var k = operatingPoint(data, -Math.log(s.beta)), best = cheapest(data, s);
    var sensitivity = data.sensitivity[k], specificity = data.specificity[k];
    var sick = PER * s.prevalence, well = PER * (1 - s.prevalence);
    return {
      threshold: 1 / (1 + s.beta), sensitivity: sensitivity, specificity: specificity,
      tp: sick * sensitivity, fn: sick * (1 - sensitivity), fp: well * (1 - specificity), tn: well * specificity,
      cost: PER * expectedCost(sensitivity, specificity, s),
      best_cost: PER * expectedCost(data.sensitivity[best], data.specificity[best], s),
      asked_beta: s.cost_fn / s.cost_fp * odds(s.prevalence) / odds(data.trained_prevalence)
    };
  }

  /* Sliders: what they set, their range, and how their position becomes a value. */
  var SLIDERS = [
    { name: "beta", label: "weight β", low: -6, high: 6, step: 0.05, to: function (v) { return Math.pow(2, v); },
      from: Math.log2, text: function (v) { return v.toPrecision(3); } },
    { name: "prevalence", label: "prevalence among those tested", low: 0.5, high: 60, step: 0.5,
      to: function (v) { return v / 100; }, from: function (v) { return v * 100; },
      text: function (v) { return (100 * v).toFixed(1) + " %"; } },
    { name: "cost_fn", label: "cost of a miss", low: 1, high: 50, step: 1, to: Number, from: Number, text: String },
    { name: "cost_fp", label: "cost of a false alarm", low: 1, high: 50, step: 1, to: Number, from: Number, text: String }
  ];
  var ROWS = [
    ["threshold", "threshold 1 / (1 + β)", 3], ["sensitivity", "sensitivity", 3], ["specificity", "specificity", 3],
    ["tp", "found, per 1,000", 1], ["fn", "missed, per 1,000", 1], ["fp", "false alarms, per 1,000", 1],
    ["tn", "rightly cleared, per 1,000", 1], ["cost", "cost, per 1,000", 1],
    ["best_cost", "cost at the best point of the ROC", 1],
    ["asked_beta", "weight these costs and this prevalence ask for", 2]
  ];
  var SIZE = 280, PAD = 40;

  function x(specificity) { return PAD + (1 - specificity) * (SIZE - PAD - 10); }
  function y(sensitivity) { return 10 + (1 - sensitivity) * (SIZE - PAD - 10); }

  function element(name, attributes, parent, text) {
    var svg = ["svg", "path", "rect", "circle", "line", "text"].indexOf(name) >= 0;
    var node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    Object.keys(attributes).forEach(function (key) { node.setAttribute(key, attributes[key]); });
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  }

  function drawRoc(data, view) {
    var svg = element("svg", { viewBox: "0 0 " + SIZE + " " + SIZE, role: "img",
      "aria-label": "ROC curve of the unweighted model with the operating point of the weight" }, view);
    element("rect", { "class": "frame", x: x(1), y: y(1), width: x(0) - x(1), height: y(0) - y(1) }, svg);
    element("line", { "class": "chance", x1: x(1), y1: y(0), x2: x(0), y2: y(1) }, svg);
    var path = data.cut.map(function (_, k) { return x(data.specificity[k]).toFixed(1) + "," + y(data.sensitivity[k]).toFixed(1); });
    element("path", { "class": "roc", d: "M" + path.join("L") }, svg);
    [0, 0.5, 1].forEach(function (tick) {
      element("text", { x: x(1 - tick), y: SIZE - PAD + 16, "text-anchor": "middle" }, svg, tick);
      element("text", { x: PAD - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, tick);
    });
    element("text", { x: (x(0) + x(1)) / 2, y: SIZE - 6, "text-anchor": "middle" }, svg, "1 − specificity");
    element("text", { x: 12, y: (y(0) + y(1)) / 2, "text-anchor": "middle",
      transform: "rotate(-90 12 " + (y(0) + y(1)) / 2 + ")" }, svg, "sensitivity");
    return { best: element("circle", { "class": "best", r: 7 }, svg), now: element("circle", { "class": "now", r: 5 }, svg) };
  }

  function mount(box, number) {
    var data = JSON.parse(box.querySelector(".cxr-beta-data").textContent);
    var view = box.querySelector(".cxr-beta-view"), state = Object.assign({}, data.start);
    view.textContent = "";
    var points = drawRoc(data, view), controls = element("div", { "class": "cxr-beta-controls" }, view), cells = {};
    SLIDERS.forEach(function (slider) {
      var id = "cxr-beta-" + number + "-" + slider.name;
      var label = element("label", { "for": id }, controls, slider.label + ": ");
      var output = element("output", { "for": id }, label);
      var input = element("input", { type: "range", id: id, min: slider.low, max: slider.high, step: slider.step,
        value: slider.from(state[slider.name]) }, controls);
      function say() { output.textContent = slider.text(state[slider.name]); input.setAttribute("aria-valuetext", output.textContent); }
      input.addEventListener("input", function () { state[slider.name] = slider.to(Number(input.value)); say(); update(); });
      say();
    });
    var body = element("tbody", {}, element("table", { "aria-live": "polite" }, controls));
    ROWS.forEach(function (row) {
      var line = element("tr", {}, body);
      element("th", { scope: "row" }, line, row[1]);
      cells[row[0]] = element("td", {}, line);
    });
    element("p", { "class": "cxr-beta-legend" }, controls,
      "Filled: the weight's operating point. Ring: the cheapest point of the ROC for these costs.");
    function update() {
      var shown = outlook(data, state), best = cheapest(data, state);
      ROWS.forEach(function (row) { cells[row[0]].textContent = shown[row[0]].toFixed(row[2]); });
      points.now.setAttribute("cx", x(shown.specificity));
      points.now.setAttribute("cy", y(shown.sensitivity));
      points.best.setAttribute("cx", x(data.specificity[best]));
      points.best.setAttribute("cy", y(data.sensitivity[best]));
    }
    update();
  }

  if (typeof module !== "undefined" && module.exports) {
    module.exports = { outlook: outlook };
  } else if (typeof document !== "undefined") {
    var start = function () { Array.prototype.forEach.call(document.querySelectorAll(".cxr-beta"), mount); };
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
    else start();
  }
})();
