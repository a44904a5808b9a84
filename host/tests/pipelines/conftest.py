"""Knowledge pipelines behind the console and the Service API, over a platform as `dify api` runs it."""

from __future__ import annotations

from ..console.conftest import app as app
from ..console.conftest import browsers as browsers
from ..console.conftest import built as built
from ..console.conftest import editor as editor
from ..console.conftest import env as env
from ..console.conftest import house as house
from ..console.conftest import openai as openai
from ..console.conftest import owner as owner
from ..console.conftest import platform as platform
from ..console.conftest import stranger as stranger
from ..console.conftest import web as web
from ..console.conftest import workshop as workshop
