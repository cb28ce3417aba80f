// Draws the page's figures with Plotly in the colours of its stylesheet, and runs the calculator's form.
"use strict";

const figures = (() => {
  const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  const drawn = new Map();

  // "--name" or "--name/0.2": a colour of the stylesheet and its opacity.
  function colour(text) {
    const [name, opacity] = text.split("/");
    const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    if (!hex) return text;
    return opacity ? hex + Math.round(255 * opacity).toString(16).padStart(2, "0") : hex;
  }
  function coloured(value) {
    if (typeof value === "string") return /^--[a-z]+(\/[\d.]+)?$/.test(value) ? colour(value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, coloured(part)]));
  }
  function dressed(spec, narrow) {
    const layout = {
      ...spec.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: "--ink" },
      margin: { l: narrow ? 48 : 60, r: 10, t: spec.layout.title ? 34 : 10, b: 48, ...spec.layout.margin },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, ...spec.layout.legend },
      hoverlabel: { bgcolor: "--wash", bordercolor: "--rule", font: { color: "--ink" } },
      shapes: (spec.layout.shapes || []), showlegend: spec.layout.showlegend !== false,
    };
    if (layout.title) layout.title = { x: 0, xanchor: "left", y: 0.98, yanchor: "top", font: { size: 14 }, ...layout.title };
    if (layout.title) layout.legend = { orientation: "h", y: -0.22, yanchor: "top", x: 0 };
    if (layout.title) layout.margin.b = 84;
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      layout[name] = { gridcolor: "--quiet/0.25", linecolor: "--quiet", zeroline: false, fixedrange: true, ...layout[name] };
      layout[name].title = { standoff: 6, ...layout[name].title };
    }
    return coloured({ data: spec.data, layout });
  }
  function draw(place, spec) {
    const { data, layout } = dressed(spec, place.clientWidth < 500);
    drawn.set(place, spec);
    return Plotly.react(place, data, layout, CONFIG);
  }
  function drawOwn(place) {
    if (!drawn.has(place)) draw(place, JSON.parse(place.parentElement.querySelector("script").textContent));
  }

  const places = [...document.querySelectorAll("figure .chart")];
  const watcher = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watcher.unobserve(entry.target);
    drawOwn(entry.target);
  }), { rootMargin: "600px" });
  places.forEach((place) => watcher.observe(place));
  window.addEventListener("beforeprint", () => places.forEach(drawOwn));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => drawn.forEach((spec, place) => draw(place, spec)));
  return { draw, drawAll: () => places.forEach(drawOwn) };
})();

const form = (() => {
  const holder = document.getElementById("law");
  if (!holder) return null;
  const { law, start, commands } = JSON.parse(holder.textContent);
  const by = (id) => document.getElementById(id);
  const inShare = law.unit === "share";

  // Numbers for people, as law/numbers.py has them.
  const three = (value) => Number(value.toPrecision(3));
  function number(value) {
    const rounded = three(value);
    for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (rounded >= size) return three(rounded / size) + letter;
    }
    return String(rounded);
  }
  function share(value) {
    const edge = Math.min(value, 1 - value);
    if (edge <= 0) return value.toFixed(0);
    if (edge < 1e-6) return value < 0.5 ? value.toPrecision(2) : `1 - ${edge.toPrecision(2)}`;
    return value.toFixed(edge >= 0.05 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(edge))));
  }
  const count = (value) => (three(value) >= 100 ? three(value).toLocaleString("en-US") : String(three(value)));
  const two = (value) => value.toFixed(2);
  const thousandths = (value) => value.toFixed(3);
  const small = (value) => String(Number(value.toPrecision(2)));
  function bracket(x, show) {
    if (x.value === null) return x.low !== null ? `above ${show(x.low)}` : x.high !== null ? `below ${show(x.high)}` : "-";
    if (x.low === null && x.high === null) return show(x.value);
    return `${show(x.value)} [${x.low === null ? "open" : show(x.low)}, ${x.high === null ? "open" : show(x.high)}]`;
  }
  const show = inShare ? share : count;
  const dose = (point) => bracket(point[law.unit], show);

  function written(text) {
    const found = /^\s*([\d.,_]+(?:e[+-]?\d+)?)\s*([kmbt%]?)\s*$/i.exec(text);
    if (!found) return null;
    const value = Number(found[1].replace(/[,_]/g, ""));
    const scale = { "": 1, k: 1e3, m: 1e6, b: 1e9, t: 1e12, "%": 0.01 }[found[2].toLowerCase()];
    return Number.isFinite(value) && value > 0 ? value * scale : null;
  }

  const around = (values, times) => [Math.min(...values) / times, Math.max(...values) * times];
  const FIELDS = {
    size: { label: "Size", range: around(law.sizes, 30), show: number, like: "300M, 1.3B or 1e9" },
    tokens: { label: "Training tokens", range: around(law.tokenCounts, 30), show: number, like: "300M, 1.3B or 1e9" },
    facts: { label: "Facts", range: around([start.facts || 1000], 100), show: number, like: "500 or 20k", least: 1 },
    risk: { label: "Risk", range: [0.005, 0.5], show: (value) => `${small(100 * value)}%`, like: "0.05 or 5%", most: 1 },
    tolerance: { label: "Tolerance", range: [0.002, 2], show: small, like: "0.05, or none for any rise" },
  };
  const at = (range, value) => 1000 * Math.log(value / range[0]) / Math.log(range[1] / range[0]);

  function read(name) {
    const text = by(name).value.trim(), { least = 0, most = Infinity } = FIELDS[name];
    if (by(name).closest(".field").hidden) return name === "tokens" ? law.tokenCounts[0] : null;
    if (name === "tolerance" && text.toLowerCase() === "none") return null;
    if (name === "tolerance" && Number(text) === 0 && text && law.losses.some((loss) => loss.since === "the start")) return 0;
    const value = written(text);
    return value !== null && value >= least && value < most ? value : undefined;
  }
  function target() {
    const values = {};
    for (const [name, { label, like }] of Object.entries(FIELDS)) {
      values[name] = read(name);
      by(name).setAttribute("aria-invalid", String(values[name] === undefined));
      if (values[name] === undefined) return { problem: `${label}: write it like ${like}.` };
    }
    return { values };
  }

  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  function tableOf(rows) {
    const table = document.createElement("table");
    for (const cells of rows) {
      const row = table.insertRow();
      cells.forEach((cell) => { row.insertCell().textContent = cell; });
    }
    return table;
  }

  function headline(plan) {
    if (plan.status === "too far") {
      const times = small(Math.max(plan.support.size, plan.support.tokens));
      return `Too far to predict: ${times} times beyond what was tried.`;
    }
    if (plan.status === "no limit") return "No share can be advised: any rise of a loss is allowed. Give a tolerance.";
    const byLoss = plan.limits.find((each) => each.ofLoss || each.reason) || {};
    if (plan.status === "no law" && law.losses.length) return `No dose can be advised${byLoss.reason ? `: ${byLoss.reason}` : ""}.`;
    if (plan.status === "no dose works" && byLoss.ofLoss && law.losses.length) {
      return `No dose works: ${plan.blocking} is beyond the tolerance at every share.`;
    }
    if (plan.status === "no law") return "No dose can be advised: neither collapse of recall nor acquisition has a law.";
    if (plan.status === "no dose works") {
      const tried = plan.blocking === law.names.tried;
      return `No dose works: the ${tried ? plan.blocking : `largest dose that ${plan.blocking} allows`} lies below acquisition.`;
    }
    return `Give ${law.unit === "facts" ? "at most " : ""}${law.words.given.replace("{}", dose(plan.dose))}`;
  }
  function limitOf(plan) {
    const limit = plan.limits.find((each) => each.name === plan.binding);
    if (!limit) return "No limit holds the dose back: more would not raise recall.";
    if (limit.beyond) return `Limit: ${limit.beyond} beyond this dose.`;
    if (limit.name === law.names.loss) {
      return `Limit: validation loss would rise by more than ${small(plan.target.tolerance)} ${law.lossUnit} beyond this dose.`;
    }
    if (limit.ofLoss) return `Limit: ${limit.name} would rise by more than ${small(plan.target.tolerance)} ${law.lossUnit} beyond this dose.`;
    return `Limit: ${limit.name}.`;
  }
  function say(plan) {
    by("dose").textContent = headline(plan);
    const parts = [];
    if (plan.status === "ok" || plan.status === "outside support") {
      parts.push(element("p", limitOf(plan)));
      const rows = [];
      if (inShare && plan.dose.exposures.value !== null) rows.push(["exposures of each fact", bracket(plan.dose.exposures, count)]);
      if (law.unit === "exposures" && plan.dose.share.value !== null) rows.push(["share", bracket(plan.dose.share, share)]);
      if (plan.infused.value !== null) rows.push(["infused tokens", bracket(plan.infused, number)]);
      const scored = Object.keys(plan.points).some((name) => name === law.collapse && plan.points[name].x.value !== null);
      if (scored || !law.losses.length) rows.push(["expected recall", plan.recall.value === null ? "unknown" : bracket(plan.recall, two)]);
      if (plan.known.value !== null) rows.push(["facts known", bracket(plan.known, count)]);
      if (!law.losses.length) rows.push(["rise of validation loss", plan.rise.value === null ? "unknown" : bracket(plan.rise, small)]);
      for (const each of plan.losses) {
        const since = each.since ? `change of ${each.title} from ${each.since}, ${law.lossUnit}` : each.title;
        rows.push([since, each.change.value === null ? each.reason || "unknown" : bracket(each.change, thousandths)]);
      }
      parts.push(tableOf(rows));
    }
    if (plan.status !== "too far") {
      if (!plan.support.inside) {
        const far = [["size", plan.support.size], ["token count", plan.support.tokens]].filter(([, times]) => times > 1)
          .map(([name, times]) => `its ${name} by a factor of ${small(times)}`);
        if (plan.support.share) far.push("its share is larger than any tried");
        parts.push(element("p", `The target lies outside what was tried: ${far.join(" and ")}.`));
      }
      const more = document.createElement("details");
      const scored = (name) => !law.lossesAlone || law.kinds.every((kind) => kind.title !== name || kind.forms.length > 0);
      more.append(element("summary", law.lossesAlone ? "Limits" : "Limits and points"),
        tableOf([...plan.limits.filter((each) => scored(each.name))
          .map((each) => [`largest dose by ${each.name}`, each.reason ? `not checked: ${each.reason}` : dose(each)]),
        ...Object.values(plan.points).filter((point) => scored(point.title)).map((point) => [point.title, dose(point)])]));
      more.open = Boolean(document.querySelector("#plan details[open]"));
      parts.push(more);
    }
    by("plan").replaceChildren(...parts);
    const options = [`--size ${by("size").value}`, ...(law.tokensStated ? [`--tokens ${by("tokens").value}`] : [])];
    if (plan.target.facts && plan.target.facts !== law.facts) options.push(`--facts ${by("facts").value}`);
    if (plan.target.risk !== null) options.push(`--risk ${by("risk").value}`);
    options.push(`--tolerance ${by("tolerance").value}`);
    if (plan.status === "too far") options.push("--extrapolate");
    by("command").textContent = [...commands.slice(0, -1), `${commands[commands.length - 1]} ${options.join(" ")}`].join("\n");
  }

  const TICKS = [0.5, 0.9, 0.1, 0.99, 0.01, 0.001, 0.8, 0.3, 0.95, 0.999, 0.7, 0.03, 0.003, 0.2, 0.98, 0.05, 0.0001];
  function ticks(low, high, apart) {
    const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
    const doses = inShare ? TICKS : [1, 3, 2, 5].flatMap((step) => powers.map((power) => step * 10 ** power));
    const kept = [];
    for (const each of doses) {
      const x = inShare ? calculator.logOdds(each) : Math.log10(each);
      if (x > low && x < high && kept.every((other) => Math.abs(x - other.x) >= apart * (high - low))) kept.push({ x, each });
    }
    return { tickvals: kept.map(({ x }) => x), ticktext: kept.map(({ each }) => (inShare ? String(each) : number(each))) };
  }
  // The change of each loss by share: medians with 90 % bands, the tolerance, and the advised share with its interval.
  function lossPicture(plan) {
    const { value, low, high } = plan.dose.share;
    const first = Math.min(...law.losses.map((loss) => loss.leastShare)), last = Math.max(high || 0, ...law.losses.map((loss) => loss.largestShare));
    const shares = Array.from({ length: 49 }, (_, i) => first + (last - first) * i / 48), colours = ["--retention", "--recall", "--surface", "--other", "--quiet"];
    const data = plan.losses.flatMap((loss, i) => {
      const found = loss.curve(shares), colour = colours[i % colours.length];
      if (!found.length) return [];
      const base = { x: shares, legendgroup: loss.title, hoverinfo: "skip", mode: "lines" }, edge = { ...base, showlegend: false, line: { width: 0 } };
      return [{ ...edge, y: found.map((each) => each.low) },
        { ...edge, y: found.map((each) => each.high), fill: "tonexty", fillcolor: `${colour}/0.15` },
        { ...base, y: found.map((each) => each.value), name: loss.title, line: { color: colour, width: 2.5 } }];
    });
    const shapes = [], most = plan.target.tolerance;
    const line = { color: "--ink", width: 1.5, dash: "dot" };
    if (most !== null) shapes.push({ type: "line", x0: 0, x1: 1, xref: "paper", y0: most, y1: most, line: { ...line, dash: "dash", width: 1 } });
    if (value !== null) shapes.push({ type: "line", x0: value, x1: value, y0: 0, y1: 1, yref: "paper", line });
    if (value !== null && low !== null && high !== null) {
      shapes.push({ type: "rect", x0: low, x1: high, y0: 0, y1: 1, yref: "paper", fillcolor: "--ink/0.1", line: { width: 0 }, layer: "below" });
    }
    return {
      data,
      layout: {
        shapes, xaxis: { title: { text: "share of training tokens" } },
        yaxis: { title: { text: `change, ${law.lossUnit}` }, zeroline: true, zerolinecolor: "--quiet" },
      },
    };
  }
  function picture(plan) {
    const rows = [["advised dose", plan.dose.x, "--ink"],
      ...law.kinds.map((kind) => [kind.title, plan.points[kind.name].x, kind.change === "lost" ? "--retention" : "--recall"])]
      .filter(([, x]) => x.value !== null);
    const limits = plan.limits.map((each) => each.x.value).filter((x) => x !== null && x > -50);
    const values = [...rows.map(([, x]) => x.value), ...limits];
    if (!values.length) return { data: [], layout: { xaxis: { visible: false }, yaxis: { visible: false } } };
    const low = Math.min(...values) - 0.7, high = Math.max(...values) + 0.7;
    const inside = (x) => Math.min(Math.max(x, low), high);
    const data = rows.map(([title, x, colour], i) => ({
      x: [x.value], y: [-i], yaxis: "y2", mode: "markers", marker: { color: colour, size: 9 }, hoverinfo: "text",
      text: [`${title}: ${inShare ? bracket({ value: calculator.shareOf(x.value), low: null, high: null }, share) : count(10 ** x.value)}`],
      error_x: {
        symmetric: false, color: colour, thickness: 2, width: 0,
        array: [inside(x.high === null ? high : x.high) - x.value], arrayminus: [x.value - inside(x.low === null ? low : x.low)],
      },
    }));
    const shown = Boolean(plan.curve);
    if (shown) {
      const keep = [...plan.curve.grid.keys()].filter((i) => i % 3 === 0 && plan.curve.grid[i] >= low && plan.curve.grid[i] <= high);
      data.push({
        x: keep.map((i) => plan.curve.grid[i]), y: keep.map((i) => plan.curve.recall[i]), mode: "lines",
        line: { color: "--recall", width: 2.5 }, hoverinfo: "skip",
      });
    }
    const shapes = [];
    const most = Math.min(...limits);
    if (Number.isFinite(most)) {
      shapes.push({
        type: "rect", x0: inside(most), x1: high, y0: 0, y1: 1, yref: "paper", fillcolor: "--retention/0.1", line: { width: 0 },
        layer: "below",
      });
    }
    if (plan.dose.x.value !== null) {
      const line = { color: "--ink", width: 1.5, dash: "dot" };
      shapes.push({ type: "line", x0: plan.dose.x.value, x1: plan.dose.x.value, y0: 0, y1: 1, yref: "paper", line });
    }
    const annotations = rows.map(([title], i) => ({
      x: 0, xref: "paper", xanchor: "left", y: -i + 0.42, yref: "y2", text: title, showarrow: false, font: { size: 11 },
    }));
    return {
      data,
      layout: {
        shapes, annotations, showlegend: false, margin: shown ? {} : { l: 10 },
        xaxis: { ...ticks(low, high, 0.11), range: [low, high], title: { text: law.words.axis }, anchor: "y2" },
        yaxis: { domain: shown ? [0.5, 1] : [0.98, 1], range: [-0.03, 1.03], title: { text: shown ? "recall" : "" }, visible: shown },
        yaxis2: { domain: shown ? [0, 0.44] : [0, 1], range: [-rows.length + 0.3, 0.8], visible: false },
      },
    };
  }

  let waiting = 0;
  function update() {
    waiting = 0;
    const { problem, values } = target();
    if (problem) {
      by("dose").textContent = problem;
      return;
    }
    const plan = calculator.plan(law, values);
    say(plan);
    if (plan.status !== "too far") figures.draw(by("plan-chart"), law.lossesAlone ? lossPicture(plan) : picture(plan));
  }
  function soon() { if (!waiting) waiting = setTimeout(update, 0); }

  for (const [name, { range, show }] of Object.entries(FIELDS)) {
    const text = by(name), slider = by(`${name}-slider`), value = start[name];
    const hidden = { facts: !law.factsKnown, tokens: !law.tokensStated, risk: law.lossesAlone };
    if (hidden[name]) text.closest(".field").hidden = true;
    const place = (number) => {
      slider.value = at(range, number);
      slider.setAttribute("aria-valuetext", show(number));
    };
    const exact = value === null || written(show(value)) === value;
    text.value = value === null ? "none" : exact ? show(value) : String(value);
    if (value !== null) place(value);
    text.addEventListener("input", () => {
      const typed = read(name);
      if (typed) place(typed);
      soon();
    });
    slider.addEventListener("input", () => {
      const chosen = range[0] * (range[1] / range[0]) ** (slider.value / 1000);
      text.value = show(chosen);
      slider.setAttribute("aria-valuetext", show(chosen));
      soon();
    });
  }
  document.querySelector("#calculator form").addEventListener("submit", (event) => event.preventDefault());
  update();
  return { law };
})();
