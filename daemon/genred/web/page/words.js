// Numbers as words, the same as on the dashboard in the terminal.

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Local time of day of an ISO time or of milliseconds: 11:42:07. */
export const timeOfDay = (when) => clock.format(new Date(when));

/** The day of a time. */
export const dayOf = (when) => day.format(new Date(when));

/** A length of time: 0:47, 12:05, 3:12:44. */
export function length(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A probability: 83 %. */
export const share = (value) => `${Math.round(100 * value)} %`;

/** A level: −18 dBFS. */
export const level = (dbfs) => (dbfs <= -120 ? "silent" : `${Math.round(dbfs)} dBFS`.replace("-", "−"));

/** A word with a capital, for the beginning of a line. */
export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** An element with text and a class. */
export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
