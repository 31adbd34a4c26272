// What a page has seen of a round before its secret was out, and the address at which anybody checks it.

/** What was published of the newest round: the hash of its key, and of a raffle the hash of its tickets. */
export class Seen {
  instance = 0;
  commitment = null;
  tickets = null;

  /** Notes what a view shows before the reveal; the first that was seen holds. */
  take({ stage, question, results, reveal }) {
    if (stage.instance !== this.instance) Object.assign(this, { instance: stage.instance, commitment: null, tickets: null });
    if (reveal || !question) return;
    this.commitment ??= question.commitment ?? null;
    if (stage.phase !== "open") this.tickets ??= results?.tickets ?? null;
  }

  /** The address of the page that checks a revealed round; `ticket` is the reader's own in a raffle. */
  address({ pin, stage, question, results, reveal }, ticket = null) {
    const own = stage.instance === this.instance ? this : {};
    const commitment = own.commitment ?? question?.commitment;
    if (!commitment || !reveal?.salt) return null;
    const told = { question: question.text, commitment, salt: reveal.salt, key: reveal.key };
    // What was fixed is no longer what is right.
    if (reveal.corrected) told.corrected = reveal.answer;
    // The key of an estimate is a number of steps, which says nothing without its scale.
    if (question.scale) told.scale = JSON.stringify(question.scale);
    const tickets = own.tickets ?? results?.tickets;
    if (tickets) Object.assign(told, { pin, raffle: stage.instance, tickets }, ticket && { ticket });
    return `/verify#${new URLSearchParams(told)}`;
  }
}

/** A player's ticket in every raffle: a hash of the id, so that lists betray nobody. Null where nothing computes it. */
export async function ticketOf(player) {
  if (!globalThis.crypto?.subtle) return null;
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`starling-ticket:${player}`));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
