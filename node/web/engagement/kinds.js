// The kinds of engagement, loaded when a show first needs one: a script of the kind's own name beside this.
//
// A kind exports `input(question, own)`, what a player does while it is open; `shown(view, own)`, what everybody
// looks at afterwards, and while it is open on the screen; `said(answer, question)`, a player's answer in words; and, if
// it has a form of its own, `collect(form)`, what the form gives, or in words what is missing. `own` says what a
// player gave and whether that is final. Where the usual words do not fit, a kind has its own: `heldAs(answer, when)`
// of what is held, `verdict(result, view)` of what came of it, `bonus(result)` of what is beyond the answer, `sentence(view)` of what is going on, `taken(view)` of one of many things that were given; and it says `counted` where
// players give many things and no one answer. A kind turns views into elements and keeps no state.

const loaded = new Map();

/** The kind of a view's question, or null before it is loaded; `redraw` is called once it is. */
export function kindOf(view, redraw) {
  const name = view?.question?.kind;
  if (!name) return null;
  if (!loaded.has(name)) {
    loaded.set(name, null);
    import(`./${name}.js`).then((kind) => (loaded.set(name, kind), redraw?.()), () => loaded.delete(name));
  }
  return loaded.get(name);
}
