"""JavaScript that tests run in the page, to measure what people see."""

LOW_CONTRAST = """
const luminance = (color) => {
  const parts = color.slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const background = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = numbers(getComputedStyle(each).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const bad = [];
for (const element of document.querySelectorAll('body *')) {
  const hasText = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
  if (!hasText || !element.checkVisibility() || element.closest('.visually-hidden, .skip, option')) continue;
  const both = [numbers(getComputedStyle(element).color), background(element)].map(luminance);
  const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  if (contrast < 4.5) bad.push(`${element.tagName} ${element.textContent.slice(0, 30)}: ${contrast.toFixed(2)}`);
}
return bad;
"""
"""Returns the texts whose contrast with what is behind them is less than WCAG's AA wants."""
TOO_SMALL = """
return [...document.querySelectorAll('button, nav a')]
  .filter((each) => each.checkVisibility() && each.offsetHeight < 39).map((each) => each.textContent);
"""
"""Returns what is too small for a finger."""
HEADINGS = """
return [...document.querySelectorAll('h1, h2, h3, h4')]
  .filter((each) => each.checkVisibility()).map((each) => Number(each.tagName[1]));
"""
"""Returns the levels of the headings."""
PAINTS = "return performance.getEntriesByType('paint').map((each) => each.startTime)"
LOADED = "return performance.getEntriesByType('resource').map((each) => new URL(each.name).pathname)"
DIALOG_IS_CLOSED = "return !document.querySelector('dialog[open]')"
DIALOG = "return document.querySelector('dialog[open]').getBoundingClientRect().toJSON()"
