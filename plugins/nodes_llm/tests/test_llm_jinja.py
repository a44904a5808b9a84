"""Jinja2 prompts: ordinary templates work, costly or prying ones end in a failure, and soon."""

import time

import pytest
from dify_kernel.errors import NodeFailed
from dify_nodes_llm.jinja import render


@pytest.mark.parametrize(
    ("source", "variables", "expected"),
    [
        ("{{ a }}", {"a": "x"}, "x"),
        ("{{ a }}", {}, ""),
        ("{{ a.b.c }}", {"a": {"b": {"c": 1}}}, "1"),
        ("{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}", {"l": ["a", "b"]}, "1/2:a 2/2:b "),
        ("{% for x in l if x > 1 %}{{ x }}{% else %}none{% endfor %}", {"l": [1]}, "none"),
        ("{% for k, v in o.items() %}{{ k }}={{ v }};{% endfor %}", {"o": {"a": 1, "b": 2}}, "a=1;b=2;"),
        ("{{ 'a' ~ n ~ 'b' }}", {"n": 1}, "a1b"),
        ("{{ l | join(', ') | upper }} {{ l | length }}", {"l": ["a", "b"]}, "A, B 2"),
        ("{{ l | map(attribute='n') | sum }}", {"l": [{"n": 1}, {"n": 2}]}, "3"),
        ("{{ '%05d' % n }} {{ '{:>4}'.format(n) }} {{ '%s!' | format(n) }}", {"n": 7}, "00007    7 7!"),
        ("{% for i in range(3) %}{{ i * 2 }}{% endfor %} {{ '-' * 3 }} {{ 2 ** 8 }}", {}, "024 --- 256"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') }}{% set s = namespace(v=1) %}{{ s.v }}", {}, "<a>1"),
        ("{{ t | tojson }} {{ t | default('d') }} {{ u | default('d') }}", {"t": "é"}, '"\\u00e9" é d'),
        ("{% for g in l | groupby('k') %}{{ g.grouper }}{{ g.list | length }} {% endfor %}", {"l": [{"k": 1}]}, "11 "),
    ],
)
def test_ordinary_templates(source, variables, expected):
    assert render(source, variables, 1000) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ (''|attr('format')).__self__ }}{{ '{0.__class__}'.format(1) }}",
        "{% set x = l.append(1) %}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "{% for a in big %}{% for b in big %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'a' * 99999999999 }}",
        "{{ [0] * 99999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '{:9999999999}'.format(1) }}",
        "{{ 'a'.center(9999999999) }}",
        "{{ 'a' | center(9999999999) }}",
        "{{ ('a' * 9000000).replace('a', 'a' * 9000000) }}",
        "{{ ('a' * 9000000) | replace('a', 'a' * 9000000) }}",
        "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(90) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(90) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% for i in big %}0123456789{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ 1 + 'a' }}",
        "{% if %}",
        "{{ nothing.at.all }}",
        "{% include 'x' %}",
    ],
)
def test_the_sandbox_holds(source):
    started = time.process_time()
    assert outcome(source, {"big": list(range(50_000)), "l": []}) in ("", "TemplateTransformError")
    assert time.process_time() - started < 3


def outcome(source, variables):
    """The text, or the kind of the failure; an access that leads nowhere gives an empty text."""
    try:
        return render(source, variables, 100_000)
    except NodeFailed as exc:
        return exc.error_type


def test_one_rendering_does_not_pay_for_another():
    for _ in range(5):
        assert len(render("{% for i in range(40000) %}.{% endfor %}", {}, 50_000)) == 40_000
