'use strict';
// Everything shown comes in as text and goes out as text nodes: nothing a topic or a row holds can become markup.

const at = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'class') node.className = value;
    else if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

// ── numbers for people ──

const grouped = new Intl.NumberFormat('en-US');
const count = (n) => (n === null || n === undefined ? '–' : grouped.format(n));
const rate = (n) => (n < 0.05 ? '0' : n < 10 ? n.toFixed(1) : grouped.format(Math.round(n)));
const size = (n) => {
  if (n === null || n === undefined) return '–';
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
};
const span = (seconds) => {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
};

// ── light and dark ──

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let chosen = null;
try { chosen = localStorage.getItem('theme'); } catch { /* storage may be off */ }
const paint = () => { document.documentElement.dataset.theme = chosen ?? (prefersDark.matches ? 'dark' : 'light'); };
prefersDark.addEventListener('change', paint);
at('theme').addEventListener('click', () => {
  chosen = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  try { localStorage.setItem('theme', chosen); } catch { /* storage may be off */ }
  paint();
});
paint();

// ── status ──

const HISTORY = 120;
const history = [];
let status = null;

const identifier = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
const ask = (name) => () => {
  at('query').value = `SELECT * FROM ${name} LIMIT 20`;
  at('sql').requestSubmit();
  at('sql-title').scrollIntoView({ behavior: 'smooth', block: 'start' });
};
const nameCell = (zone, name) => {
  const path = zone === null || zone === 'public' ? identifier(name) : `${identifier(zone)}.${identifier(name)}`;
  return make('th', { scope: 'row' }, make('button', { class: 'name', type: 'button', title: `SELECT * FROM ${path} LIMIT 20`, onclick: ask(path) },
    zone && zone !== 'public' ? make('span', { class: 'zone' }, `${zone}.`) : null, name));
};
const cell = (text, kind = '') => make('td', { class: kind }, text);
const tag = (text, kind = '', title = null) => make('span', { class: `tag ${kind}`, title }, text);
const columnsTag = (columns) => (columns === 'declared' ? tag('declared', 'accent') : columns === 'registry' ? tag('registry', 'accent')
  : columns === 'inferred' ? tag('inferred', 'warn', 'Guessed from the records seen so far; CREATE STREAM or a registry subject makes it certain') : tag(columns ?? 'raw'));

// Rows are replaced only when something in them changed, so that text can be selected and focus stays.
const fill = (id, rows, keyOf, rowOf, nothing, columns) => {
  const body = at(id);
  if (rows.length === 0) {
    if (body.dataset.empty !== 'yes') body.replaceChildren(make('tr', {}, make('td', { class: 'empty', colspan: columns }, nothing)));
    body.dataset.empty = 'yes';
    return;
  }
  if (body.dataset.empty === 'yes') body.replaceChildren();
  body.dataset.empty = 'no';
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  rows.forEach((row, i) => {
    const key = keyOf(row);
    const print = JSON.stringify(row) + (row.last_commit_ms ? span((status.now_ms - row.last_commit_ms) / 1000) : '');
    let node = known.get(key);
    known.delete(key);
    if (!node || node.dataset.print !== print) {
      const fresh = rowOf(row);
      fresh.dataset.key = key;
      fresh.dataset.print = print;
      const focused = node?.contains(document.activeElement);
      if (node) node.replaceWith(fresh);
      node = fresh;
      if (focused) node.querySelector('button')?.focus({ preventScroll: true });
    }
    if (body.children[i] !== node) body.insertBefore(node, body.children[i] ?? null);
  });
  known.forEach((node) => node.remove());
};

const drawSpark = () => {
  const top = Math.max(...history, 1) * 1.15;
  const x = (i) => ((i + HISTORY - history.length) / (HISTORY - 1)) * 600;
  const y = (value) => 118 - (value / top) * 108;
  const line = history.map((value, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join('');
  const [area, stroke] = at('spark').children;
  stroke.setAttribute('d', line);
  area.setAttribute('d', history.length > 1 ? `${line}L600 120L${x(0).toFixed(1)} 120Z` : '');
};

const draw = () => {
  const { totals } = status;
  at('rate').textContent = rate(totals.records_per_second);
  at('bytes').textContent = size(totals.bytes_per_second);
  at('uptime').textContent = span(status.uptime_seconds);
  at('memory').textContent = size(status.memory_bytes);
  at('n-topics').textContent = count(totals.topics);
  at('n-tables').textContent = count(totals.tables);
  at('n-groups').textContent = count(totals.groups);
  at('cluster').textContent = `cluster ${status.cluster_id}`;
  drawSpark();

  const doors = JSON.stringify(status.doors);
  if (at('doors').dataset.print !== doors) {
    at('doors').dataset.print = doors;
    at('doors').replaceChildren(...status.doors.map(({ name, address }) => make('li', {},
      make('button', { type: 'button', title: `Copy ${address}`, onclick: (event) => copy(event.currentTarget, address) },
        make('b', {}, { kafka: 'Kafka', http: 'HTTP', pg: 'PostgreSQL', s3: 'S3' }[name] ?? name), make('code', {}, address)))));
  }

  const topics = status.topics.filter((topic) => !topic.internal || at('internal').checked);
  fill('topics', topics, (t) => t.name, (t) => make('tr', {},
    nameCell(null, t.name),
    make('td', {}, t.error ? tag('trouble', 'bad', t.error) : columnsTag(t.columns), t.rejected ? ' ' : null,
      t.rejected ? tag(`${count(t.rejected)} rejected`, 'bad', 'Records that could not be decoded; see the topic _exceptions') : null),
    cell(count(t.partitions), 'n'), cell(count(t.records), 'n'), cell(size(t.bytes), 'n'),
    make('td', { class: 'n' }, make('span', { class: t.records_per_second >= 0.05 ? 'fast' : 'quiet' }, rate(t.records_per_second))),
    cell(count(t.lag), 'n')),
  'No topics yet. Point any Kafka client at the Kafka door and produce to one, or run CREATE STREAM.', 7);

  fill('tables', status.tables, (t) => `${t.zone}.${t.name}`, (t) => make('tr', {},
    nameCell(t.zone, t.name),
    make('td', {}, t.error ? tag('trouble', 'bad', t.error) : t.topic ? tag(`topic ${t.topic}`) : tag('SQL')),
    cell(count(t.rows), 'n'), cell(count(t.files), 'n'), cell(size(t.bytes), 'n'),
    cell(t.last_commit_ms ? `${span((status.now_ms - t.last_commit_ms) / 1000)} ago` : '–', 'n')),
  'No tables yet. Each topic with columns becomes one by itself; CREATE TABLE … AS makes others.', 6);

  fill('groups', status.groups, (g) => g.name, (g) => make('tr', {},
    make('th', { scope: 'row' }, g.name),
    make('td', {}, tag(g.state, { Stable: 'good', Empty: '' }[g.state] ?? 'warn')),
    cell(count(g.members), 'n'), cell(g.topics.map((t) => t.topic).join(', ') || '–'),
    make('td', { class: 'n' }, make('span', { class: g.lag > 0 ? 'fast' : 'quiet' }, count(g.lag)))),
  'No consumer groups yet.', 5);
};

const live = (on, text) => {
  at('live').className = `live ${on ? 'on' : 'off'}`;
  if (at('live').lastElementChild.textContent !== text) at('live').lastElementChild.textContent = text;
};

const look = async () => {
  try {
    const response = await fetch('/api/status', { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    status = await response.json();
    history.push(status.totals.records_per_second);
    if (history.length > HISTORY) history.shift();
    draw();
    live(true, 'live');
  } catch {
    live(false, 'node does not answer');
  }
  setTimeout(look, document.hidden ? 5000 : 1000);
};

const copy = async (button, text) => {
  try {
    await navigator.clipboard.writeText(text);
    const code = button.querySelector('code');
    code.textContent = 'copied';
    setTimeout(() => { code.textContent = text; }, 900);
  } catch { /* no clipboard: the address can still be read */ }
};

at('internal').addEventListener('change', () => status && draw());

// ── SQL ──

const ROWS_SHOWN = 500;
let running = null;

const failed = ({ code, message, detail, hint }) => make('div', { class: 'note bad', role: 'alert' },
  make('b', {}, code ? `${code}: ${message}` : message), detail ? make('p', {}, detail) : null, hint ? make('p', {}, hint) : null);

const value = (v) => {
  if (v === null) return make('td', { class: 'null' }, 'null');
  const text = typeof v === 'object' ? JSON.stringify(v) : String(v);
  return make('td', { class: typeof v === 'number' ? 'n' : '', title: text.length > 48 ? text : null }, text);
};

const grid = ({ columns, rows }) => make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Result' }, make('table', {},
  make('thead', {}, make('tr', {}, ...columns.map((c, i) => make('th', { scope: 'col', class: typeof rows[0]?.[i] === 'number' ? 'n' : '' }, c.name, make('small', {}, c.type.toLowerCase()))))),
  make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map(value))))));

at('sql').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (running) { running.abort(); return; }
  const sql = at('query').value.trim();
  if (!sql) return;
  running = new AbortController();
  at('run').textContent = 'Stop';
  at('outcome').textContent = 'running …';
  const started = performance.now();
  try {
    const response = await fetch('/sql', {
      method: 'POST', signal: running.signal,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ sql, max_rows: ROWS_SHOWN }),
    });
    const answer = await response.json();
    const took = performance.now() - started;
    if (answer.error) {
      at('answer').replaceChildren(failed(answer.error));
      at('outcome').textContent = '';
    } else {
      at('answer').replaceChildren(...(answer.columns.length ? [grid(answer)] : []), ...(answer.notices ?? []).map((n) => make('div', { class: 'note' }, n)));
      const what = answer.columns.length ? `${answer.truncated ? 'first ' : ''}${count(answer.row_count)} ${answer.row_count === 1 ? 'row' : 'rows'}` : answer.tag;
      at('outcome').textContent = `${what} in ${took < 1000 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(1)} s`}`;
    }
  } catch (error) {
    at('outcome').textContent = error.name === 'AbortError' ? 'stopped' : '';
    if (error.name !== 'AbortError') at('answer').replaceChildren(failed({ message: 'the answer broke off', detail: String(error.message) }));
  }
  running = null;
  at('run').textContent = 'Run';
});

at('query').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); at('sql').requestSubmit(); }
});

look();
