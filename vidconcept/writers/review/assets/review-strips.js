// One strip a concept: the score as a line, the events as bars under it. All strips show the same stretch of time.
const STRIP_PX = 50, AXIS_PX = 24, BARS_PX = 12, MAX_LANES = 3, DRAG_PX = 6;
const strips = [];
const hidden = new Set();

// Events of one concept that overlap in time lie in lanes under each other; run.events is ordered by start.
const bars = run.concepts.map((_, concept) => layBars(run.events.filter((event) => event.concept === concept)));

function layBars(events) {
  const ends = [], lanes = new Map();
  for (const event of events) {
    let lane = ends.findIndex((end_s) => end_s < event.start_s);
    if (lane < 0) lane = ends.length < MAX_LANES ? ends.length : ends.indexOf(Math.min(...ends));
    ends[lane] = event.end_s;
    lanes.set(event.id, lane);
  }
  return { events, lanes, count: Math.max(1, ends.length) };
}

function drawBars(chart, concept) {
  const { ctx, bbox } = chart, ratio = devicePixelRatio, { events, lanes, count } = bars[concept];
  const step = (BARS_PX / count) * ratio, height = count > 1 ? step - ratio : step - 2 * ratio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  // The threshold dashed, the level down to which an event is followed dotted.
  run.concepts[concept].levels.forEach((level, rank) => {
    const y = Math.round(chart.valToPos(level, "y", true)) + 0.5, dash = rank ? 1 : 4;
    ctx.strokeStyle = "#a3adba";
    ctx.setLineDash([dash * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
  });
  for (const event of events) {
    const left = chart.valToPos(event.start_s, "x", true), right = chart.valToPos(event.end_s, "x", true);
    const width = Math.max(3 * ratio, right - left), top = bbox.top + bbox.height - BARS_PX * ratio + lanes.get(event.id) * step;
    const verdict = verdicts.get(event.id);
    ctx.globalAlpha = verdict === "reject" ? 0.35 : 1;
    ctx.fillStyle = run.concepts[concept].colour;
    ctx.fillRect(left, top, width, height);
    if (event === selection.event) {
      ctx.globalAlpha = 1;
      ctx.lineWidth = 1.5 * ratio;
      ctx.strokeStyle = "#ffffff";
      ctx.strokeRect(left, top, width, height);
    }
  }
  ctx.restore();
}

// The event under the pointer, by lane and then by time; of bars that lie on each other, the one that is drawn last.
function findBar(chart, concept, click) {
  const { events, lanes, count } = bars[concept], box = chart.over.getBoundingClientRect(), x = click.clientX - box.left;
  const time_s = chart.posToVal(x, "x"), slack_s = Math.abs(chart.posToVal(x + 4, "x") - time_s);
  const row = Math.floor(((click.clientY - box.bottom + BARS_PX) / BARS_PX) * count), lane = Math.max(0, Math.min(count - 1, row));
  const missLane = (event) => Math.abs(lanes.get(event.id) - lane);
  const missTime = (event) => Math.max(event.start_s - time_s, time_s - event.end_s, 0);
  const near = events.filter((event) => missTime(event) <= slack_s).reverse();
  return near.sort((a, b) => missLane(a) - missLane(b) || missTime(a) - missTime(b))[0];
}

function zoomTogether(chart) {
  const { min, max } = chart.scales.x;
  for (const other of strips)
    if (other.chart !== chart && (other.chart.scales.x.min !== min || other.chart.scales.x.max !== max))
      other.chart.setScale("x", { min, max });
}

function makeChart(plot, concept, last) {
  const colour = run.concepts[concept].colour;
  const end_s = Math.max(run.end_s, run.series.time_s[0] + 0.04);
  const options = {
    width: 300, height: STRIP_PX + (last ? AXIS_PX : 0), legend: { show: false }, padding: [4, 24, 0, 24],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: DRAG_PX, click: () => {} } },
    scales: { x: { time: false, range: (_, min, max) => (min === max ? [run.series.time_s[0], end_s] : [min, max]) }, y: { range: [-BARS_PX / (STRIP_PX - BARS_PX), 1.02] } },
    series: [{}, { stroke: colour, width: 1.5, fill: `${colour}33`, fillTo: 0, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
    axes: [
      last
        ? { stroke: "#a3adba", size: AXIS_PX, font: "11px system-ui, sans-serif", ticks: { stroke: "#333b46", size: 4 }, grid: { stroke: "#262d36", width: 1 },
            values: (_, ticks) => ticks.map((tick) => clock(tick, ticks.length > 1 && ticks[1] - ticks[0] < 1 ? 2 : 0)) }
        : { show: true, size: 0, values: () => [], ticks: { show: false }, grid: { stroke: "#262d36", width: 1 } },
      { show: false },
    ],
    hooks: { draw: [(chart) => drawBars(chart, concept)], setScale: [(chart, key) => { if (key === "x") { zoomTogether(chart); moveHeads(); } }] },
  };
  const chart = new uPlot(options, [run.series.time_s, run.series.scores[concept]], plot);
  // uPlot itself swallows the click of a pointer that moved at all, and takes one at the edge of the strip for moved.
  let pressed_px = 0;
  chart.over.addEventListener("mousedown", (press) => { pressed_px = press.clientX; });
  chart.over.addEventListener("click", (click) => {
    if (Math.abs(click.clientX - pressed_px) >= DRAG_PX) return;
    const hit = findBar(chart, concept, click);
    if (hit) select(hit, { seek: false, scroll: true });
    seekToTime(chart.posToVal(click.clientX - chart.over.getBoundingClientRect().left, "x"));
  });
  return chart;
}

function moveHeads() {
  const time_s = times[player.position] ?? 0;
  for (const { chart, head } of strips) {
    const left = chart.valToPos(time_s, "x");
    head.hidden = left < 0 || left > chart.over.clientWidth;
    head.style.transform = `translateX(${left}px)`;
  }
}

function startStrips() {
  run.concepts.forEach((concept, index) => {
    const count = bars[index].events.length;
    const toggle = element("button", { type: "button", title: concept.name },
      swatch(index), element("span", { className: "name", textContent: concept.name }),
      element("span", { className: "count", textContent: `${index < 9 ? `key ${index + 1} · ` : ""}${count} event${count === 1 ? "" : "s"}` }));
    toggle.setAttribute("aria-pressed", "true");
    toggle.addEventListener("click", () => toggleConcept(index));
    const plot = element("div", { className: "plot" });
    const row = element("div", { className: "strip" }, toggle, plot);
    $("strips").append(row);
    const chart = makeChart(plot, index, index === run.concepts.length - 1);
    const head = element("div", { className: "playhead" });
    chart.over.append(head);
    strips.push({ chart, head, row, toggle, plot });
  });
  new ResizeObserver(() => {
    for (const { chart, plot } of strips) chart.setSize({ width: Math.max(80, plot.clientWidth), height: chart.height });
    moveHeads();
  }).observe($("strips"));
  player.listeners.push(moveHeads);
}

function redrawStrips(events) { for (const concept of new Set(events.map((event) => event.concept))) strips[concept].chart.redraw(false); }

function toggleConcept(index) {
  if (index >= strips.length) return;
  const off = !hidden.has(index);
  if (off) hidden.add(index); else hidden.delete(index);
  strips[index].row.classList.toggle("off", off);
  strips[index].toggle.setAttribute("aria-pressed", String(!off));
  say(`${run.concepts[index].name} ${off ? "off" : "on"}`);
  placeRows();
}
