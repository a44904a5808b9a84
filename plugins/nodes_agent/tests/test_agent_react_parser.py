"""What the user sees of a ReAct answer, and what is read out of the rest; however the text was cut up."""

import json

import pytest
from dify_nodes_agent.agent_react_parser import ReActReader
from hypothesis import given
from hypothesis import strategies as st


def read(*pieces):
    """What is shown, the thought, and the action as (name, input)."""
    reader = ReActReader()
    shown = "".join([*(reader.feed(piece) for piece in pieces), reader.finish()])
    action = (reader.action.name, reader.action.input) if reader.action else None
    return shown, reader.thought, action


@pytest.mark.parametrize(
    "text",
    [
        'Thought: look\nAction: {"action": "find", "action_input": {"q": "x"}}',
        'Thought: look\nAction:\n```json\n{"action": "find", "action_input": {"q": "x"}}\n```',
        'Thought: look\n```\n{"action": "find", "action_input": {"q": "x"}}\n```\n',
        'look\n{"action": "find", "action_input": {"q": "x"}}',
        'Thought: look\n[{"action": "find", "action_input": {"q": "x"}}]',
        'Thought: look\nAction: find\nAction Input: {"q": "x"}',
        'Thought: look\nAction: `find`\nAction Input:\n```json\n{"q": "x"}\n```',
        '**Thought:** look\n**Action:** find\n**Action Input:** {"q": "x"}',
        'THOUGHT: look\nACTION: find\nACTION INPUT: {"q": "x"}\nOBSERVATION: made up\nFinal Answer: made up',
        "Thought: look\nAction: {'action': 'find', 'action_input': {'q': 'x'}",
        'Thought: look\nAction：find\nAction Input：{"q": "x"}',
    ],
)
def test_actions(text):
    assert read(text) == ("", "look", ("find", {"q": "x"}))


@pytest.mark.parametrize(
    ("text", "name", "given_input"),
    [
        ("Action: find\nAction Input: two\nlines\nObservation: z", "find", "two\nlines"),
        ("Action: find", "find", ""),
        ("Action: find\nThought: hm\nAction Input: x", "find", ""),
        ('Action: {"action": "find", "action_input": "a\nFinal Answer: b"}', "find", "a\nFinal Answer: b"),
        ('Action: find\nAction Input: {"action": "buy", "q": 1}', "find", {"action": "buy", "q": 1}),
        ('{"action": "find", "action_input": {"a": {"b": [1, "}"]}}} and more', "find", {"a": {"b": [1, "}"]}}),
    ],
)
def test_inputs_of_actions(text, name, given_input):
    assert read(text)[2] == (name, given_input)


@pytest.mark.parametrize(
    ("text", "shown", "thought"),
    [
        ("Thought: I know\nFinal Answer: it is 4", "it is 4", "I know"),
        ("Final Answer:\n\n# Title\n\ntext  \n", "# Title\n\ntext", ""),
        ("Thought: a\n**Final Answer:** **bold** end", "**bold** end", "a"),
        ("Thought: a\n**Final Answer**: * item", "* item", "a"),
        ("final answer: x\nAction: y", "x\nAction: y", ""),
        ("Thought: none needed\nAction: None\nFinal Answer: x", "x", "none needed\nAction: None"),
        ('Thought: a\n{"action": "Final Answer", "action_input": "it is 4"}', "it is 4", "a"),
        ('```\n{"action": "Final Answer", "action_input": {"n": "é"}}\n```', '{"n": "é"}', ""),
        ("Action: Final Answer\nAction Input: it is 4", "it is 4", ""),
        ("Just an answer, with Final Answer: inside.", "Just an answer, with Final Answer: inside.", None),
        ("It has {braces} and\nlines", "It has {braces} and\nlines", None),
        ("", "", ""),
    ],
)
def test_answers(text, shown, thought):
    assert read(text) == (shown, shown if thought is None else thought, None)


def test_a_final_answer_streams_as_it_comes():
    reader = ReActReader()
    pieces = ["Thought: secret\nFinal", " Answer: ", "one ", "two", "\n\n", "three\n"]
    assert [reader.feed(piece) for piece in pieces] == ["", "", "one", " two", "", "\n\nthree"]


def test_an_action_is_never_shown():
    reader = ReActReader()
    text = 'Thought: secret\nAction: find\nAction Input: "x"\nObservation: made up\nFinal Answer: made up'
    assert "".join(reader.feed(char) for char in text) + reader.finish() == ""
    assert reader.raw == text


FRAGMENTS = st.sampled_from(
    [
        *(
            "Thought:",
            "Action:",
            "Action Input:",
            "Observation:",
            "Final Answer:",
            "**Final Answer:**",
            "final_answer:",
        ),
        *(
            "\n",
            "\n\n",
            " ",
            "```",
            "```json\n",
            "{",
            "}",
            "[",
            '{"action": "find", ',
            '"action_input": ',
            '"x"',
            "find",
        ),
        *('{"action": "Final Answer", "action_input": "a"}', "None", "**", "*", "é", "text", "-", ">", "# "),
    ]
)


@st.composite
def cut_texts(draw):
    text = "".join(draw(st.lists(FRAGMENTS, max_size=14)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(cut_texts())
def test_the_way_a_text_is_cut_up_does_not_matter(pieces):
    text = "".join(pieces)
    assert read(*pieces) == read(text) == read(*text)


@given(st.text(max_size=60), st.text(max_size=60), st.data())
def test_a_final_answer_is_shown_whole_and_the_thought_is_not(thought, answer, data):
    hidden = "".join(char for char in thought if char.isalnum())
    text = f"Thought: {hidden}\nFinal Answer: {answer}"
    cut = data.draw(st.integers(0, len(text)))
    assert read(text[:cut], text[cut:]) == (answer.strip(), hidden, None)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4), st.text(max_size=20))
def test_any_arguments_come_through_json(arguments, after):
    blob = json.dumps({"action": "find", "action_input": arguments})
    assert read(f"Thought: t\nAction:\n```json\n{blob}\n```\n{after}")[2] == ("find", arguments)


@pytest.mark.parametrize("line", ["word " * 20_000, "word\n" * 20_000, "{" * 20_000, "Action: none\n" * 4_000])
def test_long_texts_are_read_soon(line):
    pieces = [line[at : at + 8] for at in range(0, len(line), 8)]
    assert read(*pieces, "\nFinal Answer: done")[0] == "done"
