"""How far text stands out from its ground: the ratio of WCAG 2, for every element that holds text.

axe-core measures it too, but leaves single digits and what a dialog lies over undecided.
"""

from playwright.sync_api import Page

AAA = 7.0
_RATIOS = """
() => {
  const lum = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; }
    return [255, 255, 255]; };
  return [...document.querySelectorAll("body *")].filter(e => e.checkVisibility() &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
      const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(ground(e))].sort((x, y) => y - x);
      return [`${e.className} ${e.id} ${e.textContent.slice(0, 30)}`, (a + 0.05) / (b + 0.05)]; });
}
"""


def ratios(page: Page) -> list[tuple[str, float]]:
    """Return for each element that shows text: which it is, and its ratio."""
    return [(name, ratio) for name, ratio in page.evaluate(_RATIOS)]
