"""The agent node keeps the node contract."""

from dify_kernel.contracts.tool import FileMessage, ToolInfo, ToolParameter
from dify_kernel.errors import InvokeRateLimitError, NotFound
from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fakes import FakeModels, FakeTools, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_agent.agent import AgentNode

SAY = ToolInfo(name="say", parameters=[ToolParameter(name="what", required=True)])
PICTURE = File(type=FileType.IMAGE, transfer_method=FileTransfer.TOOL_FILE, related_id="1", url="https://a.test/1")
MODEL = {"provider": "p/q/r", "model": "m", "mode": "chat", "completion_params": {"temperature": 0, "stop": ["END"]}}
TOOL = {
    "enabled": True,
    "type": "builtin",
    "provider_name": "talk",
    "tool_name": "say",
    "parameters": {"what": {"auto": 0, "value": {"type": "variable", "value": ["start", "word"]}}},
    "settings": {"loud": {"value": "{{#start.loud#}}"}},
}


def constant(value):
    return {"type": "constant", "value": value}


def agent(strategy="function_calling", **parameters):
    given = {"model": MODEL, "query": "{{#sys.query#}}", "instruction": "Be brief.", **parameters}
    return {
        "agent_strategy_provider_name": "langgenius/agent/agent",
        "agent_strategy_name": strategy,
        "agent_parameters": {name: constant(value) for name, value in given.items()},
    }


class NoTools(FakeTools):
    async def describe(self, provider_type, provider, tool, *, credential_id=None):
        raise NotFound(f"{provider} is not installed.")


def ports(reply="done", calls=(), tools=None):
    talk = tools or FakeTools({"say": lambda _: [FileMessage(PICTURE)]}, infos={"say": SAY})
    return lambda: fake_ports(models=FakeModels(lambda _: reply, tool_calls=calls), tools=talk)


class TestAgentNode(NodeSuite):
    node = AgentNode
    examples = [
        NodeExample(name="no tools", config=agent(), variables={"sys": {"query": "hi"}}),
        NodeExample(
            name="a tool whose parameters are variables",
            config=agent(tools=[TOOL]),
            variables={"sys": {"query": "hi"}, "start": {"word": "a", "loud": "yes"}},
            ports=ports(calls=[[("say", {})]]),
        ),
        NodeExample(
            name="ReAct",
            config=agent("ReAct", tools=[TOOL]),
            variables={"sys": {"query": "hi"}, "start": {"word": "a", "loud": "yes"}},
            ports=ports("Thought: I know.\nFinal Answer: it is so"),
        ),
        NodeExample(
            name="a variable as a parameter, and context",
            config={
                **agent(context=None),
                "agent_parameters": {
                    "model": constant(MODEL),
                    "query": {"type": "variable", "value": ["start", "q"]},
                    "context": {"type": "variable", "value": ["kb", "result"]},
                },
            },
            variables={"start": {"q": "?"}, "kb": {"result": [{"content": "a", "metadata": {"_source": "knowledge"}}]}},
        ),
        NodeExample(
            name="a strategy that is not here",
            config={**agent(), "agent_strategy_provider_name": "somebody/else/agent"},
            error="somebody/else/agent/function_calling is not installed",
        ),
        NodeExample(
            name="tools that are not here",
            config=agent(tools=[TOOL, {**TOOL, "tool_name": "sing"}]),
            variables={"start": {"word": "a", "loud": "yes"}},
            ports=ports(tools=NoTools()),
            error="talk/say (talk is not installed.), talk/sing (talk is not installed.)",
        ),
        NodeExample(
            name="the model fails",
            config=agent(),
            ports=lambda: fake_ports(models=FakeModels(error=InvokeRateLimitError("Slow down."))),
            error="Slow down.",
        ),
        NodeExample(name="no model", config=agent(model={}), error="no model"),
        NodeExample(name="no number", config=agent(maximum_iterations="many"), error="maximum_iterations"),
    ]
    bad_configs = [
        {**agent(), "agent_parameters": {"query": {"type": "guess", "value": "a"}}},
        {**agent(), "agent_parameters": {"query": {"type": "variable", "value": "start.a"}}},
    ]
