// The HTTP API, as far as the page asks it.

/** What an answer that is no answer says. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail || problem.title || `status ${response.status}`);
}

const asking = new AbortController();

/** Ask for something; raises Refused, or another error where nobody answers. */
export const get = async (path) => answer(await fetch(path, { signal: asking.signal }));

/** Ask for nothing any more: what is under way is broken off, and later questions fail at once. */
export const askNoMore = () => asking.abort();

/** Send something. */
export const send = async (method, path, body, headers = {}) =>
  answer(await fetch(path, { method, body, headers }));
