"""What is read of a page: Markdown of its main part, in linear time, whatever it is."""

from __future__ import annotations

import time

import pytest
from dify_datasources_web.addresses import link
from dify_datasources_web.page import parse_page
from dify_kernel.errors import DatasourceError
from hypothesis import given
from hypothesis import strategies as st

URL = "https://a.test/docs/page"


def content(html: str, *, main: bool = True) -> str:
    return parse_page(html.encode(), "utf-8", URL, only_main_content=main).content


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h1>One</h1><p>Two\n  three</p><h3>Four <b>x</b></h3>", "# One\n\nTwo three\n\n### Four **x**"),
        ("<p>a<br>b</p>c<hr>d", "a\nb\n\nc\n\n---\n\nd"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ol><li>a</li><li><p>b</p><p>c</p></li></ol>", "1. a\n2. b\n  \n  c"),
        ("<p>See <a href='../x#y'>the  <i>x</i></a>, <a>y</a>.</p>", "See [the *x*](https://a.test/x), y."),
        ("<pre><code>if a:\n    b\n\n\n\nc</code></pre>z", "```\nif a:\n    b\n\n\n\nc\n```\n\nz"),
        ("<p>Use <code>a | b</code> <em> now</em> .</p>", "Use `a | b` *now* ."),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n> \n> b"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1|2</td></tr></table>",
            "| A | B |\n| --- | --- |\n| 1\\|2 |  |",
        ),
        ("<p hidden>a</p><script>b</script><svg><text>c</text></svg><p>d</p>", "d"),
        ("<nav>menu</nav><main>main</main><footer>foot</footer>", "main"),
        ("<nav>menu</nav><article>main</article>aside", "main"),
        ("<header>only</header>", "only"),
        ("&lt;b&gt; &amp; \x00é", "<b> & é"),
        ("", ""),
    ],
)
def test_html_becomes_markdown(html: str, markdown: str) -> None:
    assert "\n".join(line.rstrip() for line in content(html).split("\n")) == "\n".join(
        line.rstrip() for line in markdown.split("\n")
    )


def test_the_whole_page_is_kept_when_it_is_asked_for() -> None:
    assert content("<nav>menu</nav><main>main</main>", main=False) == "menu\n\nmain"


@pytest.mark.parametrize("piece", ["<ul><li>x", "<b>x", "<table><tr><td>x", "<blockquote>x", "<a href=x>x", "<div>x"])
def test_time_grows_with_the_page_alone(piece: str) -> None:
    def seconds(times: int) -> float:
        begin = time.perf_counter()
        content(piece * 200 + "<p>word</p>" * times)
        return time.perf_counter() - begin

    seconds(100)
    small = min(seconds(2_000) for _ in range(3))
    assert min(seconds(16_000) for _ in range(3)) < 8 * 4 * small


def test_a_page_nested_without_end_is_refused() -> None:
    with pytest.raises(DatasourceError, match="nested"):
        content("<div>" * 50_000 + "x")


@given(st.text(alphabet="<>/abp\"'= &;#\0\nul", max_size=200))
def test_nothing_breaks_the_reader(html: str) -> None:
    assert "\0" not in content(html)


@pytest.mark.parametrize(
    ("href", "found"),
    [
        ("x", "https://a.test/docs/x"),
        ("//B.test:443/ä?q=ü#f", "https://b.test/%C3%A4?q=%C3%BC"),
        ("https://[::1]:8/", "https://[::1]:8/"),
        ("javascript:x()", None),
        ("mailto:a@b", None),
        ("https://u:p@a.test/", None),
        ("https://a.test:x/", None),
        ("http://[", None),
        ("/" + "x" * 3000, None),
    ],
)
def test_a_link_has_one_spelling_or_is_none(href: str, found: str | None) -> None:
    assert link(URL, href) == found
    if found:
        assert link("", found) == found


@given(st.text(max_size=60))
def test_any_text_may_stand_in_a_link(href: str) -> None:
    found = link(URL, href)
    assert found is None or link("", found) == found
