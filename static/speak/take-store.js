// @ts-check
// Takes kept in this browser's IndexedDB, so that they can be heard again.

import { Take } from "../take/take.js";

const NAME = "takes";
const VERSION = 1;
const STORES = ["entries", "sounds"];
const MOST = 50;
const MOST_BYTES = 200e6;

export class TakeStore {
  /** @type {Promise<IDBDatabase> | null} */
  #opening = null;

  /** Store a take and delete the oldest ones beyond the limit. Reject if it cannot be stored. @param {Take} take */
  async keep(take) {
    const pcm = new Blob(take.pcm.parts()); // the browser copies a Blob without holding up the page
    const { text, settings, rate, seconds, sentences, words, complete } = take;
    const entry = { text, settings, seconds, bytes: pcm.size, at: Date.now() };
    const sound = { pcm, rate, sentences, words, complete, metrics: serverMetrics(take.metrics) };
    const database = await this.#open();
    const writing = database.transaction(STORES, "readwrite");
    const id = /** @type {number} */ (await done(writing.objectStore("entries").add(entry)));
    writing.objectStore("sounds").put(sound, id);
    await committed(writing);
    await this.#prune();
  }

  /** Return the entries, latest first. @returns {Promise<HistoryEntry[]>} */
  async entries() {
    const store = (await this.#open()).transaction("entries").objectStore("entries");
    const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
    return values.map((value, at) => ({ ...value, id: Number(keys[at]) })).reverse();
  }

  /** Return a stored take; null if it was deleted. @param {HistoryEntry} entry */
  async load({ id, text, settings }) {
    const sound = await done((await this.#open()).transaction("sounds").objectStore("sounds").get(id));
    if (!sound) return null;
    const take = new Take(text, settings, sound.rate);
    take.pcm.append(new Int16Array(await sound.pcm.arrayBuffer()));
    Object.assign(take, { sentences: sound.sentences, words: sound.words, complete: sound.complete });
    take.metrics = sound.metrics;
    return take;
  }

  /** @param {number[]} ids */
  async remove(ids) {
    const writing = (await this.#open()).transaction(STORES, "readwrite");
    for (const name of STORES) for (const id of ids) writing.objectStore(name).delete(id);
    await committed(writing);
  }

  async #prune() {
    const entries = await this.entries();
    let bytes = 0;
    const old = entries.filter((entry, at) => (bytes += entry.bytes) > MOST_BYTES || at >= MOST);
    if (old.length) await this.remove(old.map(({ id }) => id));
  }

  #open() {
    this.#opening ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("entries", { autoIncrement: true });
        request.result.createObjectStore("sounds");
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => {
        this.#opening = null; // the next call tries again
        reject(request.error);
      };
    });
    return this.#opening;
  }
}

/**
 * @template Result
 * @param {IDBRequest<Result>} request
 * @returns {Promise<Result>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Resolve when a transaction is committed; reject if it is not, for example when storage is full.
 * @param {IDBTransaction} writing
 * @returns {Promise<void>}
 */
function committed(writing) {
  return new Promise((resolve, reject) => {
    writing.oncomplete = () => resolve();
    writing.onabort = () => reject(writing.error);
  });
}

// Returns the server's metrics; times of performance.now() have no meaning in another visit.
function serverMetrics(/** @type {Record<string, number>} */ metrics) {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => name.includes("_")));
}
