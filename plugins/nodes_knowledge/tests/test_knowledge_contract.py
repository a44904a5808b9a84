"""The knowledge-retrieval node keeps the node contract."""

from dify_kernel.errors import NotFound
from dify_kernel.testing.fakes import FakeKnowledge, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_knowledge.node import KnowledgeRetrievalNode


def _ports():
    return fake_ports(knowledge=FakeKnowledge({"kb": ["red apples", "green pears"]}))


BASIC = {
    "dataset_ids": ["kb"],
    "query_variable_selector": ["start", "q"],
    "retrieval_mode": "multiple",
    "multiple_retrieval_config": {"top_k": 2, "score_threshold": None, "reranking_enable": False},
}


class TestKnowledgeRetrievalNode(NodeSuite):
    node = KnowledgeRetrievalNode
    examples = [
        NodeExample(name="found", config=BASIC, variables={"start": {"q": "apples"}}, ports=_ports),
        NodeExample(
            name="nothing", config=BASIC, variables={"start": {"q": "plums"}}, ports=_ports, outputs={"result": []}
        ),
        NodeExample(name="nothing to ask", config={"dataset_ids": ["kb"], "query_variable_selector": []}, outputs={}),
        NodeExample(
            name="wrong type",
            config=BASIC,
            variables={"start": {"q": 5}},
            error="Query variable is not string type.",
        ),
        NodeExample(
            name="wrong attachment",
            config={"query_attachment_selector": ["start", "f"]},
            variables={"start": {"f": ["x"]}},
            error="Attachments variable is not array file or file type.",
        ),
        NodeExample(
            name="gone",
            config=BASIC,
            variables={"start": {"q": "x"}},
            ports=lambda: fake_ports(knowledge=FakeKnowledge(error=NotFound("The knowledge base kb is gone."))),
            error="kb is gone",
        ),
        NodeExample(
            name="conditions",
            config={
                **BASIC,
                "metadata_filtering_mode": "manual",
                "metadata_filtering_conditions": {
                    "logical_operator": "or",
                    "conditions": [{"id": "1", "name": "n", "comparison_operator": "=", "value": "{{#start.n#}}"}],
                },
            },
            variables={"start": {"q": "pears", "n": 3}},
            ports=_ports,
        ),
    ]
    bad_configs = [
        {**BASIC, "retrieval_mode": "some"},
        {**BASIC, "metadata_filtering_mode": "sometimes"},
        {**BASIC, "multiple_retrieval_config": {"top_k": "many"}},
    ]
