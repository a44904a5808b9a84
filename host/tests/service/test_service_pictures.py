"""A picture in a document: the link in the segment that is shown opens it, and another key's workspace has none."""

from __future__ import annotations

import json
import re

from dify_host.knowledge.recording import Asker
from dify_kernel.contracts.ports import Retrieval

from ..knowledge.test_pictures import docx, png
from .knowledge_calls import AUTOMATIC, index_all, make
from .service_house import House


async def test_the_link_of_a_segment_opens_its_picture(house: House) -> None:
    key = await house.dataset_key()
    dataset = (await make(key))["id"]
    data = {"indexing_technique": "high_quality", "process_rule": AUTOMATIC}
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    made = await key(
        "POST",
        f"/datasets/{dataset}/document/create-by-file",
        files={"file": ("colors.docx", docx(9), kind)},
        data={"data": json.dumps(data)},
    )
    assert made.status_code == 200, made.text
    await index_all(house)
    path = f"/datasets/{dataset}/documents/{made.json()['document']['id']}"
    (segment,) = (await key("GET", f"{path}/segments")).json()["data"]
    (attached,) = segment["attachments"]
    assert f"![image](/files/{attached['id']}/file-preview)" in segment["content"]
    (link,) = re.findall(r"!\[image\]\((\S+)\)", segment["sign_content"])
    for address in (link, attached["source_url"]):
        assert f"/files/{attached['id']}/file-preview?" in address
        answer = await house.web.get(address)
        assert (answer.status_code, answer.content) == (200, png(9))
    unsigned = await house.web.get(f"/files/{attached['id']}/file-preview")
    assert unsigned.status_code in (400, 403)
    hit = (await key("POST", f"/datasets/{dataset}/retrieve", {"query": "Color"})).json()["records"][0]["segment"]
    (shown,) = re.findall(r"!\[image\]\((\S+)\)", hit["sign_content"])
    assert (await house.web.get(shown)).content == png(9)
    runtime = house.workspace.knowledge.runtime(Asker(user_id=house.owner_id))
    (piece,) = await runtime.retrieve(Retrieval(dataset_ids=[dataset], query="Color"))
    (found,) = re.findall(r"!\[image\]\((\S+)\)", piece["content"])  # what a model says of it can be shown
    assert (await house.web.get(found)).content == png(9)
    assert (await key("DELETE", path)).status_code == 200
    assert (await house.web.get(link)).status_code == 403
