"""Pictures of a comparison on the page: what `vocab.compare.pictures` says they show, drawn with altair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vocab.compare.pictures import Axis, Picture

if TYPE_CHECKING:
    import altair as alt

_GREY = "#7d8b8a"  # seen on light and on dark


def chart(picture: Picture) -> alt.LayerChart | alt.FacetChart:
    """Draw a picture; tokenizers differ in colour, and in line or shape for those who see colours alike.

    Args:
        picture: what it shows.

    Returns:
        The chart, without its title; the page's theme gives colours and fonts.
    """
    import altair as alt

    symbol: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 300} if picture.mark == "line" else {}
    legend = alt.Legend(orient="top", direction="vertical", labelLimit=320, **symbol)
    who: dict[str, Any] = {"title": None, "sort": None, "legend": legend}
    colour = alt.Color("tokenizer:N", **who)
    x, y = _axis(alt.X, picture, picture.x), _axis(alt.Y, picture, picture.y)
    base = alt.Chart(picture.points).encode(x=x, color=colour, tooltip=_tooltips(picture))
    if picture.mark == "line":
        points = alt.OverlayMarkDef(size=40) if picture.x.scale == "names" else False
        marks = [
            base.mark_line(strokeWidth=2, point=points).encode(y=y, strokeDash=alt.StrokeDash("tokenizer:N", **who))
        ]
    elif picture.mark == "points":
        marks = [
            base.mark_point(size=90, filled=True, opacity=1).encode(y=y, shape=alt.Shape("tokenizer:N", **who)),
            _interval(base),
        ]
    else:
        beside = alt.XOffset("tokenizer:N", sort=None)
        marks = [
            base.mark_bar().encode(y=y, xOffset=beside),
            _interval(base).encode(xOffset=beside, color=alt.value(_GREY)),
        ]
    if picture.even is not None:
        marks.append(alt.Chart().mark_rule(strokeDash=[4, 3], color=_GREY).encode(y=alt.datum(picture.even)))
    return alt.layer(*marks).properties(height=320)


def _interval(base: alt.Chart) -> alt.Chart:
    return base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")


def _axis(direction: Any, picture: Picture, axis: Axis) -> Any:
    import altair as alt

    title, values = axis.title or None, picture.points[axis.column]
    if axis.scale == "names":
        return direction(f"{axis.column}:O", title=title, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    if axis.scale == "log" and picture.mark == "points":
        ticks = alt.Axis(values=sorted(set(values)), format=",", labelOverlap=True)
    elif axis.scale == "log":  # a line at each power of ten
        ticks = alt.Axis(values=[10**n for n in range(len(str(values.max())))], format="~s")
    else:
        ticks = alt.Axis(tickCount=6)
    if axis.scale == "log":
        scale = alt.Scale(type="log", nice=False, padding=24)
    else:
        scale = alt.Scale(zero=picture.mark != "points")
    return direction(f"{axis.column}:Q", title=title, axis=ticks, scale=scale)


def _tooltips(picture: Picture) -> list[alt.Tooltip]:
    import altair as alt

    titles = {axis.column: axis.title for axis in (picture.x, picture.y) if axis.title}
    made = []
    for column, values in picture.points.items():
        name, kind = str(column), values.dtype.kind
        how: dict[str, Any] = {"format": "," if kind == "i" else ".4~g"} if kind in "if" else {}
        made.append(alt.Tooltip(f"{name}:{'Q' if how else 'N'}", title=titles.get(name, name), **how))
    return made
