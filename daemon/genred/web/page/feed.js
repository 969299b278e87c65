// One feed's card.

import { get } from "./api.js";
import { Picture } from "./picture.js";
import { DEAD_AIR, Strip } from "./strip.js";
import { element, length, level, share, timeOfDay } from "./words.js";

const CHANGES = 8;
const QUIETEST = -60;
// The history is written within a second of an event; where it is not yet, it is asked for again.
const SETTLED_MS = 1500;
const ASKED_AGAIN = 5;
const AWAY = new Set(["starting", "ended"]);

export class Feed {
  constructor(id, page) {
    this.id = id;
    this.page = page;
    this.state = null;
    this.levels = null;
    this.events = [];
    this.card = document.getElementById("feed").content.firstElementChild.cloneNode(true);
    const find = (selector) => this.card.querySelector(selector);
    const heading = find("h2");
    heading.id = `feed-${id}`;
    heading.textContent = id;
    this.card.id = `card-${id}`;
    this.card.setAttribute("aria-labelledby", heading.id);
    this.source = find(".source");
    this.label = find(".label span");
    this.swatch = find(".label .swatch");
    this.more = find(".more");
    this.confidence = find(".confidence");
    this.dbfs = find(".dbfs");
    [this.sureBar, this.levelBar] = this.card.querySelectorAll(".bar");
    this.changes = find(".changes");
    this.picture = new Picture(find(".picture canvas"));
    this.strip = new Strip(find(".strip"), (label) => page.colourOf(label));
  }

  /** What the API says of it, with its last events. */
  fill(detail) {
    this.source.textContent = detail.synthetic ? "synthetic station" : detail.source;
    this.detail = detail;
    // What was told live since the API was asked is newer than its answer.
    if (!(this.state?.ts > detail.state.ts)) this.state = detail.state;
    const known = new Map([...detail.events, ...this.events].map((each) => [`${each.ts} ${each.seq}`, each]));
    const inOrder = [...known.values()].sort((one, other) => Date.parse(one.ts) - Date.parse(other.ts));
    this.events = inOrder.slice(-CHANGES);
    this.show();
    this.list();
    this.past();
  }

  /** A `state` message. */
  takeState(state) {
    this.state = state;
    this.show();
  }

  /** An `event` message. */
  takeEvent(event) {
    this.events = [...this.events, event].slice(-CHANGES);
    this.list();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.past(), SETTLED_MS);
  }

  /** Its part of a `levels` message. */
  takeLevels(levels) {
    this.levels = levels;
    this.show();
  }

  show() {
    const { state, levels } = this;
    const online = levels ? levels.online : this.detail?.online;
    const status = levels?.status ?? this.detail?.health.status ?? "starting";
    const dead = online && (levels ?? state)?.dead_air;
    const label = (levels ?? state)?.label ?? "unknown";
    const sure = (levels ?? state)?.confidence ?? 0;
    const word = !online ? status : dead ? DEAD_AIR : label;
    // Written only when it changes: whoever has it read aloud hears each change once.
    if (this.label.textContent !== word) this.label.textContent = word;
    this.card.dataset.mood = dead ? "dead" : online ? "fine" : AWAY.has(status) ? "away" : "trouble";
    this.swatch.style.background = online && !dead ? this.page.colourOf(label) : "";
    const more = online ? [dead ? "nothing but silence" : state?.kind !== label && state?.kind] : [];
    if (online && state?.since && state.label === label) {
      const seconds = (this.page.now() - Date.parse(state.since)) / 1000;
      more.push(`for ${length(seconds)}`);
    }
    if (online) more.push(state?.title, state?.station);
    const words = more.filter(Boolean).join(" · ");
    if (this.more.textContent !== words) this.more.textContent = words;
    this.gauge(this.sureBar, online && !dead ? sure : 0, Math.round(100 * sure));
    this.confidence.textContent = online && !dead ? share(sure) : "–";
    const dbfs = online ? (levels ?? state)?.level_dbfs ?? -120 : -120;
    this.gauge(this.levelBar, 1 - dbfs / QUIETEST, Math.round(Math.max(dbfs, QUIETEST)));
    this.levelBar.setAttribute("aria-valuetext", level(dbfs));
    this.dbfs.textContent = online ? level(dbfs) : "–";
    const peak = online ? (levels?.peak_dbfs ?? -120) : -120;
    this.levelBar.lastElementChild.hidden = peak <= QUIETEST;
    this.levelBar.lastElementChild.style.left = `${100 * Math.min(Math.max(1 - peak / QUIETEST, 0), 0.995)}%`;
  }

  gauge(bar, portion, value) {
    bar.firstElementChild.style.transform = `scaleX(${Math.min(Math.max(portion, 0), 1)})`;
    bar.setAttribute("aria-valuenow", value);
  }

  list() {
    const rows = [...this.events].reverse().map((event) => {
      const row = element("li");
      const time = element("time", timeOfDay(event.ts));
      time.dateTime = event.ts;
      const dead = event.event_type === "dead_air";
      const words =
        event.event_type === "changed" && event.previous
          ? `${event.previous} → ${event.label}`
          : { dead_air: DEAD_AIR, recovered: "sound again", ended: `${event.label}, then nothing` }[
              event.event_type
            ] ?? event.label;
      row.append(time, element("span", words, dead ? "dead" : ""));
      row.append(element("span", dead ? "" : share(event.confidence), "sure"));
      return row;
    });
    this.changes.replaceChildren(...(rows.length ? rows : [element("li", "none so far", "empty")]));
  }

  /** Show the day, or the last minutes where no history is kept. */
  async past(again = ASKED_AGAIN) {
    const now = this.page.now();
    if (!this.page.node?.history) {
      const detail = await get(`/api/v1/feeds/${this.id}`).catch(() => null);
      if (!detail) return;
      const since = now - 15 * 60_000;
      const ticks = [timeOfDay(since), "now"];
      this.strip.show("Last 15 minutes", since, now, stretches(detail.segments, [], now), ticks);
      return;
    }
    const midnight = new Date(now).setHours(0, 0, 0, 0);
    const until = new Date(midnight).setHours(24);
    const query = new URLSearchParams({
      since: new Date(midnight).toISOString(),
      until: new Date(until).toISOString(),
      limit: 5000,
    });
    const told = await get(`/api/v1/feeds/${this.id}/history?${query}`).catch(() => null);
    if (!told) return;
    const all = stretches(told.segments, told.dead_air, now);
    this.strip.show("Today", midnight, until, all, ["0:00", "6:00", "12:00", "18:00", "24:00"]);
    if (again && !this.written(told.segments)) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.past(again - 1), SETTLED_MS);
    }
  }

  /** Is the newest change among `segments`? */
  written(segments) {
    const begun = this.events.filter((each) => ["started", "changed"].includes(each.event_type)).at(-1);
    return !begun || segments.some((each) => Date.parse(each.start) >= Date.parse(begun.start));
  }
}

function stretches(segments, deadAir, now) {
  const one = (each, label) => ({
    label,
    start: Date.parse(each.start),
    end: each.end && !each.on ? Date.parse(each.end) : now,
  });
  return [...segments.map((each) => one(each, each.label)), ...deadAir.map((each) => one(each, DEAD_AIR))];
}
