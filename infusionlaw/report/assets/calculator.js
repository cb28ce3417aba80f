// The plan for any target, from a law's draws: what `infusionlaw predict` computes of the dose, its limits and points.
// Pure: no page, no network, no random numbers. Names follow the Python modules, which say why each step is as it is:
// scaling/law.py and scaling/forms.py (points), planning/limits.py, planning/best.py (the dose), planning/forecast.py
// (recall there), scores/cost.py (the rise of validation loss) and losses/law.py (laws of losses).
"use strict";

const calculator = (() => {
  const LEVEL = 0.9, DOSE_STEP = 0.01, GOOD_ENOUGH = 0.005, FAR_BEYOND = 3, LARGEST_SHARE = 0.97, FARTHEST_TIMES = 30;
  const LEAST_X = -6, TINY = 1e-300, SAME = 1.01, FULL = 1 - 1e-4, NEAR_STEP = 0.001, LARGEST_LOG_RISE = 50, TAU = 0.3;
  const ENDS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2];
  const log10 = Math.log10, pow10 = (x) => Math.pow(10, x);
  const clip = (x, low, high) => Math.min(Math.max(x, low), high);
  const expit = (x) => 1 / (1 + Math.exp(-x));
  const shareOf = (x) => 1 / (1 + pow10(-x));
  const logOdds = (share) => log10(share) - log10(1 - share);
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const sorted = (values) => Float64Array.from(values).sort();

  // Quantiles as numpy has them, of values in ascending order: between two of them, or one of them.
  function between(ascending, q) {
    const at = (ascending.length - 1) * q, i = Math.floor(at), t = at - i;
    const a = ascending[i], b = ascending[Math.min(i + 1, ascending.length - 1)];
    return a === b ? a : a + (b - a) * t;
  }
  const oneOf = (ascending, q) => ascending[clip(Math.ceil(ascending.length * q) - 1, 0, ascending.length - 1)];
  const even = (ascending, count, quantile) => Float64Array.from({ length: count },
    (_, i) => quantile(ascending, (i + 0.5) / count));
  const finite = (x) => (Number.isFinite(x) ? x : null);
  function intervalOf(values) {
    const ascending = sorted(values);
    const [low, value, high] = [ENDS[0], 0.5, ENDS[1]].map((q) => finite(oneOf(ascending, q)));
    return { value, low, high };
  }
  function expected(values) {
    const found = intervalOf(values), value = mean(values);
    const low = found.low === null ? null : Math.min(found.low, value);
    return { value, low, high: found.high === null ? null : Math.max(found.high, value) };
  }
  const mapped = (interval, f) => Object.fromEntries(
    Object.entries(interval).map(([name, end]) => [name, end === null ? null : f(end)]));
  const NOTHING = { value: null, low: null, high: null };

  // Candidate laws: x of one set of parameters t at a place (size, tokens, facts, perShare); c: the form's constants.
  const main = (t, at, c) => t[0] + t[1] * log10(at.size / c.size0) + t[2] * log10(at.tokens / c.tokens0)
    + (c.facts_varied ? t[3] * log10(at.facts / c.facts0) : 0);
  const amount = (logExposures, at) => (at.unit !== "share" ? logExposures
    : logOdds(Math.min(pow10(Math.min(logExposures - at.logPerShare, 0)), FULL)));
  const FORMS = {
    "power law in size and token count": main,
    "power law whose exponent of size changes with tokens": (t, at, c) => {
      const d = log10(at.tokens / c.tokens0), inside = clip(d, c.low, c.high), last = c.facts_varied ? 4 : 3;
      const changed = inside + t[last + 1] * (d - inside);
      return main(t, at, c) + t[last] * log10(at.size / c.size0) * changed;
    },
    "power law in size": (t, at, c) => t[0] + t[1] * log10(at.size / c.origin),
    "power law in token count": (t, at, c) => t[0] + t[1] * log10(at.tokens / c.origin),
    "power law in compute": (t, at, c) => t[0] + t[1] * log10(at.size * at.tokens / c.origin),
    "power law in size with an asymptote": (t, at, c) => {
      const decay = pow10(Math.min(-pow10(Math.min(t[2], 2)) * log10(at.size / c.size0), 10));
      return t[0] + (c.tokens_varied ? t[3] * log10(at.tokens / c.tokens0) : 0) + t[1] * decay;
    },
    "constant exposures": (t, at) => amount(t[0], at),
    "constant share": (t, at) => t[0] + (at.unit === "exposures" ? at.logPerShare : 0),
    "capacity bound": (t, at) => amount(t[0] + log10(at.size / at.facts), at),
  };

  // Predictive draws of a point at a target, scatter included; none when its law is not fitted.
  function pointDraws(law, kind, target) {
    const at = {
      unit: law.unit, size: target.size, tokens: target.tokens,
      facts: (kind.factsVaried ? target.facts : kind.facts) || 1,
    };
    at.logPerShare = log10(at.tokens / (at.facts * (kind.tokensPerFact || 1)));
    const rows = kind.forms.reduce((sum, form) => sum + form.draws.length, 0);
    const found = new Float64Array(rows * law.scatter.length);
    let i = 0;
    for (const form of kind.forms) {
      const x = FORMS[form.name];
      for (const t of form.draws) {
        const centre = x(t, at, form.constants), sigma = t[t.length - 1];
        for (const z of law.scatter) { found[i] = centre + sigma * z; i += 1; }
      }
    }
    const factor = target.facts && kind.facts && !kind.factsVaried ? target.facts / kind.facts : 1;
    return carriedOver(found, law.unit, kind.change, factor);
  }
  function carriedOver(x, unit, change, factor) {
    if (factor === 1 || (change === "learned") === (unit === "exposures")) return x;
    if (unit === "exposures") return x.map((value) => value - log10(factor));
    return x.map((value) => {
      const share = shareOf(value) * factor;
      return share < 1 ? logOdds(Math.min(share, 1 - 1e-12)) : Infinity;
    });
  }

  // How x reads as share, exposures and facts at a target.
  function scaleOf(law, target) {
    const perShare = target.facts && law.tokensPerFact && law.tokensStated ? target.tokens / (target.facts * law.tokensPerFact) : null;
    const { unit } = law, other = unit === "facts" || perShare === null ? () => NOTHING : mapped;
    return {
      perShare,
      share: (x) => (unit === "share" ? mapped(x, shareOf) : other(x, (end) => pow10(end) / perShare)),
      exposures: (x) => (unit === "exposures" ? mapped(x, pow10) : other(x, (end) => shareOf(end) * perShare)),
      facts: (x) => (unit === "facts" ? mapped(x, pow10) : NOTHING),
    };
  }

  // What a dose costs: draws of the rise of validation loss at x, and of x at a rise.
  function costAt(law, target) {
    const cost = law.cost;
    if (!cost) return null;
    const inShare = law.unit === "share";
    const n = Math.log(target.size / cost.size0), d = Math.log(target.tokens / cost.tokens0);
    const logC = cost.base.map((base, i) => base + cost.size[i] * n + cost.tokens[i] * d), power = cost.power;
    const rise = (x) => {
      const ln = x === -Infinity ? -Infinity : x * Math.LN10, at = inShare ? softplus(ln) : ln;
      return Float64Array.from(logC, (c, i) => (inShare
        ? Math.exp(Math.min(c, LARGEST_LOG_RISE)) * Math.expm1(Math.min(power[i] * at, LARGEST_LOG_RISE))
        : Math.exp(Math.min(c + power[i] * at, LARGEST_LOG_RISE))));
    };
    const doseOf = (most) => Float64Array.from(logC, (c, i) => {
      if (!inShare) return (Math.log(most) - c) / power[i] / Math.LN10;
      const general = softplus(Math.log(most) - c) / power[i];
      return (general + Math.log(-Math.expm1(-general))) / Math.LN10;
    });
    const allowed = (most) => {
      const draws = sorted(doseOf(most));
      let low = draws[0], high = draws[draws.length - 1];
      while (high - low > 1e-4) {
        const middle = (low + high) / 2;
        if (mean(rise(middle)) > most) high = middle; else low = middle;
      }
      return low;
    };
    return { rise, doseOf, allowed };
  }

  // Surfaces: the loss at a share q of the text that it is of, from one set of parameters, a size and a token count.
  const SIZE0 = 1e8, TOKENS0 = 1e9;
  const plain = (p, n, d) => p.E + p.A * n ** -p.alpha + p.B * d ** -p.beta;
  const grown = (p, n, d) => p.K * (n / SIZE0) ** p.p * (d / TOKENS0) ** p.s;
  const SURFACES = {
    "d-cpt": (p, n, d) => {
      const base = p.E + p.A * n ** -p.alpha, term = p.B * d ** -p.beta;
      return (q) => base + term * Math.max(q, TINY) ** p.eta + p.C * (q + p.epsilon) ** -p.gamma;
    },
    "exponential mixing": (p, n, d) => {
      const base = plain(p, n, d), term = grown(p, n, d);
      return (q) => base + term * Math.exp(-p.t * q);
    },
    "power mixing": (p, n, d) => {
      const base = plain(p, n, d), term = grown(p, n, d);
      return (q) => base + term * Math.max(1 - Math.max(q, TINY) ** p.g, TINY);
    },
    "own tokens": (p, n, d) => {
      const base = p.E + p.A * n ** -p.alpha;
      return (q) => base + p.B * (d * (q + p.transfer * (1 - q))) ** -p.beta;
    },
  };

  // A law of a loss at a target: draws of its change at a share, of x of the largest share within a tolerance.
  function lossAt(loss, law, target) {
    const { size, tokens } = target, found = [];
    const named = (names, row) => Object.fromEntries(names.map((name, i) => [name, row[i]]));
    for (const { name, parameters, theta, draws, stretch } of loss.surfaces) {
      const middle = SURFACES[name](named(parameters, theta), size, tokens);
      draws.forEach((row, i) => {
        const drawn = SURFACES[name](named(parameters, row), size, tokens);
        const at = (share) => {
          const q = loss.displaced ? 1 - share : share, centre = middle(q);
          return centre + stretch[i] * (drawn(q) - centre);
        };
        const from = loss.since === "the start" ? loss.base : at(0);
        found.push((share) => at(share) - from);
      });
    }
    const known = found.length > 0 && loss.since !== "";
    const change = (share) => Float64Array.from(found, (each) => each(share));
    const allowed = (most) => Float64Array.from(found, (each) => {
      let left = 0, low = each(0) - most;
      if (low > 0) return -Infinity;
      for (const right of law.lossShares.slice(1)) {
        const high = each(right) - most;
        if (high > 0) return logOdds(left + clip(-low / (high - low), 0, 1) * (right - left));
        left = right;
        low = high;
      }
      return Infinity;
    });
    return { ...loss, known, change, allowed };
  }

  // The largest dose that each constraint allows, with draws of it less their median.
  function limitsOf(at) {
    const { law, target } = at, found = [], none = Float64Array.of(0);
    const shifted = (ascending) => ascending.map((x) => x - between(ascending, 0.5));
    for (const kind of law.kinds.filter((each) => ["lost", "fallen"].includes(each.change))) {
      const draws = at.ascending[kind.name], { title: name, beyond } = kind, ofLoss = kind.change === "fallen";
      if (draws.length) found.push({ name, beyond, x: between(draws, target.risk), shifts: shifted(draws), reason: "", ofLoss });
      else if (kind.clear !== null) found.push({ name, beyond, x: kind.clear - at.textOf(0), shifts: none, reason: "", ofLoss });
      else found.push({ name, beyond, x: Infinity, shifts: none, reason: kind.reason });
    }
    if (target.tolerance !== null) {
      const name = law.names.loss;
      const limiting = at.losses.filter((loss) => loss.limits);
      for (const loss of limiting) {
        const named = loss.general ? name : loss.title;
        if (!loss.known) found.push({ name: named, x: Infinity, shifts: none, reason: loss.reason });
        else {
          const x = sorted(loss.allowed(target.tolerance).map((each) => clip(each, LEAST_X, logOdds(LARGEST_SHARE))));
          found.push({ name: named, x: between(x, 0.5), shifts: shifted(x), reason: "", ofLoss: true });
        }
      }
      if (limiting.length) { /* the laws of losses stand in for the rise of validation loss */ } else if (!at.cost) found.push({ name, x: Infinity, shifts: none, reason: law.names.noCost });
      else {
        const x = at.cost.allowed(target.tolerance) - at.textOf(0);
        found.push({ name, x, shifts: shifted(sorted(at.cost.doseOf(target.tolerance))), reason: "", ofLoss: true });
      }
    }
    for (const loss of at.losses.filter((each) => each.lowest !== null)) {
      const x = logOdds(Math.min(loss.lowest / target.tokens, LARGEST_SHARE));
      found.push({ name: law.names.lowest + loss.title, beyond: `${loss.title} would rise again`, x, shifts: none, reason: "" });
    }
    const { perShare } = at.scale;
    if (law.unit === "exposures" && perShare) {
      found.push({ name: law.names.room, x: log10(LARGEST_SHARE * perShare), shifts: none, reason: "" });
    }
    if (law.clear !== null) found.push({ name: law.names.tried, x: law.clear - at.textOf(0), shifts: none, reason: "" });
    return found;
  }

  // The dose of highest expected recall among those allowed.
  function advise(at, found) {
    const { law, target } = at, limit = found.reduce((a, b) => (b.x < a.x ? b : a), { x: Infinity, name: "" });
    const learnable = at.has(law.acquisition);
    if (target.tolerance === null && law.lossesAlone) return { status: "no limit", limit };
    const told = learnable || at.has(law.collapse) || found.some((each) => each.ofLoss);
    if (limit.x === Infinity || !told) return { status: "no law", limit };
    if (!learnable && limit.x <= LEAST_X) return { status: "no dose works", limit };
    const order = law.draws.repeats, count = order[0].length;
    const picked = (ascending, seed) => {
      const values = even(ascending, count, between);
      return Float64Array.from(order[seed], (i) => values[i]);
    };
    const repeats = found.map((each, seed) => picked(sorted(each.shifts), seed));
    const tightest = Float64Array.from({ length: count },
      (_, k) => Math.min(...found.map((each, i) => each.x + repeats[i][k])));
    const tried = limit.name === law.names.tried || limit.name.startsWith(law.names.lowest);
    const bounded = (x) => (tried && x.value === limit.x ? { ...NOTHING, value: x.value } : x);
    const ends = (values) => { const all = sorted(values); return { low: between(all, ENDS[0]), high: between(all, ENDS[1]) }; };
    if (!learnable) {
      const recall = law.unit === "facts" ? recallAt(at, limit.x) : NOTHING;
      return { status: "ok", limit, binding: limit.name, x: bounded({ value: limit.x, ...ends(tightest) }), recall };
    }
    if (between(at.looked[law.acquisition], 0.5) > limit.x) return { status: "no dose works", limit };
    const acquisition = at.looked[law.acquisition].map((x) => Math.min(x, limit.x + FAR_BEYOND));
    const curve = curveOf(at, limit.x, acquisition);
    const [best, binds] = curve.best(0, 0, limit.x);
    const middle = between(acquisition, 0.5), risen = picked(acquisition.map((x) => x - middle), found.length);
    const collapse = found.findIndex((each) => each.name === law.kinds.find((kind) => kind.name === law.collapse).title);
    const others = risen.map((rise, k) => curve.best(rise, repeats[collapse][k], tightest[k])[0]);
    const x = bounded({ value: best, ...ends(others) });
    return { status: "ok", limit, binding: binds ? limit.name : "", x, recall: recallAt(at, best), curve };
  }

  const widths = (level, draws) => draws.map((z) => (level ? pow10(level.mean + level.sd * z) : NEAR_STEP));
  function plateauDraws(law, target) {
    const p = law.plateaus, row = [1, log10(target.size / p.size0), log10(target.tokens / p.tokens0)];
    const dot = (values) => values[0] * row[0] + values[1] * row[1] + values[2] * row[2];
    const centre = dot(p.mean), sd = Math.sqrt(dot(p.covariance.map(dot)) + TAU * TAU);
    return Float64Array.from(law.draws.plateau, (z) => p.guessing + (1 - p.guessing) * expit(centre + sd * z));
  }

  // Expected recall on a grid of doses, and the dose to take from it.
  function curveOf(at, limit, acquisition) {
    const { law } = at, p = law.plateaus, collapse = at.looked[law.collapse];
    const low = between(acquisition, 0.005), high = between(acquisition, 0.995);
    const start = Math.min(low, limit) - DOSE_STEP, end = Math.max(high, limit) + 2;
    const grid = Float64Array.from({ length: Math.ceil((end - start) / DOSE_STEP) }, (_, i) => start + i * DOSE_STEP);
    const knots = law.draws.rise.length;
    const learned = meanRise(grid, even(acquisition, knots, between), widths(p && p.rise, law.draws.rise));
    let kept = new Float64Array(grid.length).fill(1);
    if (collapse.length) {
      kept = meanRise(grid, even(collapse, knots, between), widths(p && p.fall, law.draws.fall)).map((y) => 1 - y);
    }
    const guessing = p ? p.guessing : 0, plateau = p ? mean(plateauDraws(law, at.target)) : 1;
    const floor = p ? clip(p.floor.mean, guessing, plateau) : 0;
    const score = (rise, left) => rise * (floor - guessing + (plateau - floor) * left);
    const shifted = (values, by) => {
      if (by === 0) return values;
      return grid.map((x) => {
        const place = (x - by - start) / DOSE_STEP;
        if (place <= 0) return values[0];
        if (place >= grid.length - 1) return values[grid.length - 1];
        const i = Math.floor(place), t = place - i;
        return values[i] + (values[i + 1] - values[i]) * t;
      });
    };
    const best = (risen, fallen, most) => {
      const rise = shifted(learned, risen), left = shifted(kept, fallen);
      let highest = -Infinity, allowed = -1, inside = 0;
      const scores = grid.map((x, i) => score(rise[i], left[i]));
      scores.forEach((value, i) => {
        highest = Math.max(highest, value);
        if (grid[i] <= most) { allowed = Math.max(allowed, value); inside += 1; }
      });
      const binds = allowed < highest - GOOD_ENOUGH, wanted = binds ? allowed : highest - GOOD_ENOUGH;
      let first = scores.findIndex((value, i) => (grid[i] <= most ? value : -1) >= wanted);
      if (first < 0) first = 0;
      const last = Math.max(inside - 1, 0);
      return [binds && first === last ? most : Math.min(grid[first], most), binds];
    };
    return { grid, best, recall: grid.map((_, i) => guessing + score(learned[i], kept[i])), known: Boolean(p) };
  }
  function meanRise(grid, knots, width) {
    return grid.map((x) => {
      let sum = 0;
      for (let k = 0; k < knots.length; k += 1) {
        const past = (x - knots[k]) / width[k];
        if (past >= 1) sum += 1; else if (past > 0) sum += past;
      }
      return sum / knots.length;
    });
  }

  // Recall at a dose, expected, with the interval of the model's own.
  function recallAt(at, x) {
    const { law } = at, p = law.plateaus, d = law.draws;
    if (!p || (!at.has(law.collapse) && law.clear !== null && at.textOf(x) > law.clear)) return NOTHING;
    const past = (ascending, order, width) => {
      if (!ascending.length) return new Float64Array(d.floor.length);
      const values = even(ascending, order.length, oneOf);
      return Float64Array.from(order, (i, k) => clip((x - values[i]) / width[k], 0, 1));
    };
    const learned = law.unit === "facts" ? new Float64Array(d.floor.length).fill(1)
      : past(at.looked[law.acquisition], d.learnedOrder, widths(p.rise, d.riseThere));
    const lost = past(at.looked[law.collapse], d.lostOrder, widths(p.fall, d.fallThere));
    const plateau = plateauDraws(law, at.target);
    return expected(Float64Array.from(learned, (rise, i) => {
      const zero = clip(p.guessing + d.guessing[i], 0, 1);
      const floor = clip(p.floor.mean + p.floor.sd * d.floor[i], p.guessing, plateau[i]);
      return zero + rise * (floor - zero + (plateau[i] - floor) * (1 - lost[i]));
    }));
  }

  const beyond = (value, tried) => {
    const factor = Math.max(value / tried[tried.length - 1], tried[0] / value, 1);
    return factor > SAME ? factor : 1;
  };

  // The plan for a target {size, tokens, facts, risk, tolerance}; facts null: the table's, tolerance null: any rise.
  function plan(law, asked) {
    const target = { ...asked, facts: asked.facts || law.facts };
    const size = beyond(target.size, law.sizes), tokens = beyond(target.tokens, law.tokenCounts);
    const support = { size, tokens, inside: size === 1 && tokens === 1 };
    if (Math.max(size, tokens) > FARTHEST_TIMES && !asked.extrapolate) return { status: "too far", support, target };
    const losses = law.losses.map((loss) => lossAt(loss, law, target));
    const at = { law, target, scale: scaleOf(law, target), cost: costAt(law, target), losses, ascending: {}, looked: {} };
    at.textOf = (x) => (law.unit === "share" || !target.facts || !law.facts ? x : x + log10(target.facts / law.facts));
    at.has = (name) => law.kinds.some((kind) => kind.name === name && kind.forms.length > 0);
    for (const kind of law.kinds) {
      const draws = pointDraws(law, kind, target);
      at.ascending[kind.name] = sorted(draws);
      // Where facts count as learned half way up, a plan still looks at where recall leaves guessing.
      const level = kind.change === "learned" ? kind.level : 0, width = level && widths(law.plateaus && law.plateaus.rise, law.draws.level);
      at.looked[kind.name] = level ? sorted(draws.map((x, i) => x - level * width[i])) : at.ascending[kind.name];
    }
    const inUnits = (x) => ({ x, ...Object.fromEntries(["share", "exposures", "facts"].map((unit) => [unit, at.scale[unit](x)])) });
    const points = Object.fromEntries(law.kinds.map((kind) => [kind.name, {
      title: kind.title, ...inUnits(kind.forms.length ? intervalOf(at.ascending[kind.name]) : NOTHING),
    }]));
    const limits = limitsOf(at), advice = advise(at, limits);
    const x = advice.x || NOTHING, dose = inUnits(x), recall = advice.recall || NOTHING, p = law.plateaus;
    const share = dose.share.value, facts = dose.facts.value || target.facts, general = at.losses.find((loss) => loss.limits && loss.general && loss.known);
    const answers = at.losses.map((loss) => ({
      title: loss.title, since: loss.since, reason: loss.reason,
      change: share === null || !loss.known ? NOTHING : intervalOf(loss.change(share)),
      curve: (shares) => (loss.known ? shares.map((each) => intervalOf(loss.change(each))) : []),
    }));
    if (share !== null && answers.some((each, i) => each.change.value !== null && share > at.losses[i].largestShare * SAME)) {
      support.inside = false;
      support.share = share;
    }
    let rise = NOTHING;
    if (x.value !== null && general) rise = intervalOf(general.change(shareOf(x.value)));
    else if (x.value !== null && at.cost) rise = expected(at.cost.rise(at.textOf(x.value)));
    return {
      status: advice.status === "ok" && !support.inside ? "outside support" : advice.status,
      losses: answers,
      target, support, points, dose,
      infused: law.tokensStated ? mapped(dose.share, (end) => end * target.tokens) : NOTHING,
      binding: advice.binding || "", blocking: advice.limit.name,
      limits: limits.map((each) => ({ ...each, shifts: undefined, ...inUnits({ ...NOTHING, value: finite(each.x) }) })),
      recall,
      rise,
      known: facts && p
        ? mapped(recall, (end) => facts * Math.max(end - p.guessing, 0) / (1 - p.guessing)) : NOTHING,
      curve: advice.curve,
    };
  }

  return { plan, FORMS: Object.keys(FORMS), shareOf, logOdds };
})();
