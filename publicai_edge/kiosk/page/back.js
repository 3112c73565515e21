// The browser's Back, or a swipe on a tablet: one step within the page, and not away from it. As many entries of the
// browser's history as the view is steps deep; an entry holds that number and nothing else.

const depthOf = (state) => state?.depth ?? 0;

// depth: tells how many steps the view is away from the first; stepBack: takes one of them back.
// Returns what is to be called after each change of the view.
export function keepSteps(depth, stepBack) {
  let at = 0; // the entry that the browser is at
  let going = false; // on its way to another, by our own word
  let stepping = false;
  history.replaceState({ depth: 0 }, "");

  function keep() {
    if (going || stepping) return; // looked at again when that is over
    const wanted = depth();
    if (at > wanted) {
      going = true;
      history.go(wanted - at);
    }
    while (at < wanted) history.pushState({ depth: ++at }, "");
  }

  addEventListener("popstate", (event) => {
    at = depthOf(event.state);
    if (!going) {
      stepping = true;
      while (depth() > at) stepBack();
      stepping = false;
    }
    going = false;
    keep(); // Forward has nothing to show any more
  });
  return keep;
}
