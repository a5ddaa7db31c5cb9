/** What a test asks of a page: expressions, as texts because they run in the browser. */

export const focusedText = 'document.activeElement.textContent'
export const focusedClass = 'document.activeElement.className'
export const focusedOutline = 'getComputedStyle(document.activeElement).outlineStyle'
export const focusedRow = 'document.activeElement.closest("li").id'

/** Whether there is something to scroll to the side for. */
export const sticksOut =
  'document.documentElement.scrollWidth > document.documentElement.clientWidth'

/** Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3). */
export const faintTexts = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number)
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((value) => {
      const part = value / 255
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    if (element === null) return 'rgb(255, 255, 255)'
    const { backgroundColor } = getComputedStyle(element)
    return channels(backgroundColor)[3] === 0 ? behind(element.parentElement) : backgroundColor
  }
  const faint = []
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE)
    const text = own.map((node) => node.textContent).join('').trim()
    if (text === '') continue
    const [light, dark] = [getComputedStyle(element).color, behind(element)]
      .map(luminance)
      .sort((a, b) => b - a)
    if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push(text.slice(0, 40))
  }
  return faint
})()`
