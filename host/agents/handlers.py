"""agent_* requests and attention_list: messages in, messages out."""

from collections.abc import Mapping
from dataclasses import dataclass

from host.agents.port import Agent, agent_of
from host.agents.prompts import Prompts
from host.agents.sessions import Sessions
from host.agents.turns import Projects
from host.core.requests import RequestContext, RouteTable
from host.protocol.messages.agents import (
    AgentCancel,
    AgentCapabilities,
    AgentCapabilitiesResponse,
    AgentMessage,
    AgentPromptResponse,
    AgentSessionNew,
    AgentSessionsList,
    AttentionList,
    AttentionListResponse,
)


@dataclass(frozen=True)
class AgentHandlers:
    agents: Mapping[str, Agent]
    sessions: Sessions
    prompts: Prompts
    projects: Projects

    def register(self, table: RouteTable) -> None:
        table.add(AgentCapabilities, self.capabilities)
        table.add(AgentSessionNew, self.sessions.begin)
        table.add(AgentMessage, self.sessions.send)
        table.add(AgentSessionsList, self.sessions.list)
        table.add(AgentCancel, self.sessions.cancel)
        table.add(AgentPromptResponse, self.prompts.answer)
        table.add(AttentionList, self.attention)

    async def capabilities(self, request: AgentCapabilities, context: RequestContext) -> AgentCapabilitiesResponse:
        root = await self.projects.root_of(context.project_id)
        return await agent_of(self.agents, request.agent).capabilities(root)

    async def attention(self, _: AttentionList, context: RequestContext) -> AttentionListResponse:
        return await self.prompts.waiting()
