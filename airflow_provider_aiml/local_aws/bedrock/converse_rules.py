"""What Converse refuses beyond the service model: roles, documents, images, tools, what a model cannot do.

The messages are the service's as far as they are known, else in its manner. botocore's own checks (types,
required members) come before this.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock.documents import measure_image
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["check_converse", "check_messages"]

_MOST_DOCUMENTS, _DOCUMENT_BYTES = 5, 4_500_000
_MOST_IMAGES, _IMAGE_BYTES, _IMAGE_SIDE = 20, 3_750_000, 8_000
_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9()\[\]-]+(?:\s[A-Za-z0-9()\[\]-]+)*")
_NUMBER_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_NATIVELY_REFUSED = {
    "integer": _NUMBER_BOUNDS,
    "number": _NUMBER_BOUNDS,
    "array": frozenset({"maxItems"}),
}
_PROMPT_FORBIDS = ("system", "inferenceConfig", "toolConfig", "additionalModelRequestFields")


def check_converse(model: Model, request: Mapping[str, Any]) -> None:
    """Check a Converse or ConverseStream request.

    :raises ApiError: ``ValidationException`` for the first thing that is wrong.
    """
    if not model.can("converse"):
        raise invalid(
            "This action doesn't support the model that you provided. "
            "Try again with a supported text or chat model."
        )
    if model.prompt:
        _check_prompt(request)
    elif not request.get("messages"):
        raise invalid("The messages field is required. Add at least one message and try again.")
    check_messages(model, request)
    for number, path in enumerate(request.get("additionalModelResponseFieldPaths", [])):
        if not re.fullmatch(r"(/([^/~]|~0|~1)+)+", path):
            raise invalid(
                f"additionalModelResponseFieldPaths.{number}: {path!r} is not a valid JSON pointer."
            )
    if schema := request.get("outputConfig", {}).get("textFormat"):
        _check_schema(model, schema)


def check_messages(model: Model, request: Mapping[str, Any]) -> None:
    """Check messages, system prompts and tools: what Converse and CountTokens share.

    :raises ApiError: ``ValidationException`` for the first thing that is wrong.
    """
    messages: Sequence[Mapping[str, Any]] = request.get("messages", [])
    if request.get("system") and not model.can("system"):
        raise _unsupported("the system field")
    if request.get("toolConfig") and not model.can("tools"):
        raise _unsupported("tool use")
    if "tool" in request.get("toolConfig", {}).get("toolChoice", {}) and not model.can("forced tools"):
        raise _unsupported("the toolConfig.toolChoice.tool field")
    _check_roles(messages, appended=model.prompt)
    for number, message in enumerate(messages):
        _check_content(f"messages.{number}", message)
        _check_reasoning(message)
        _check_documents(model, f"messages.{number}", message)
        _check_images(model, f"messages.{number}", message)
        _check_beside_results(model, number, message)
    _check_names(messages)
    _check_tools(request, messages, in_prompt=model.prompt)


def _unsupported(feature: str) -> Exception:
    return invalid(f"This model doesn't support {feature}. Remove it and try again.")


def _check_prompt(request: Mapping[str, Any]) -> None:
    for member in _PROMPT_FORBIDS:
        if request.get(member):
            raise invalid(f"The {member} field can't be specified when the model ID is the ARN of a prompt.")


def _check_roles(messages: Sequence[Mapping[str, Any]], *, appended: bool) -> None:
    """Refuse roles that do not alternate; what is appended to a managed prompt begins as that lets it."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    if roles and roles[0] != "user" and not appended:
        raise invalid(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    if any(before == after for before, after in itertools.pairwise(roles)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. "
            "Make sure the conversation alternates between user and assistant roles and try again."
        )
    if roles and roles[-1] != "user":
        raise invalid(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )


def _check_content(path: str, message: Mapping[str, Any]) -> None:
    if not message["content"]:
        raise invalid(
            f"The content field in the Message object at {path} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    for number, block in enumerate(message["content"]):
        where = f"{path}.content.{number}"
        if len(block) != 1:
            raise invalid(
                f"The ContentBlock object at {where} must set exactly one member, it sets {len(block)}."
            )
        if "text" in block and not block["text"].strip():
            raise invalid(
                f"The text field in the ContentBlock object at {where} is blank. "
                "Add text to the text field, and try again."
            )


def _check_reasoning(message: Mapping[str, Any]) -> None:
    """Refuse reasoning that nobody signed, as Bedrock does of DeepSeek's, which it wrote itself."""
    for _, reasoning in _blocks(message, "reasoningContent"):
        if "reasoningText" in reasoning and not reasoning["reasoningText"].get("signature"):
            raise invalid(
                "User messages cannot contain reasoning content. "
                "Please remove the reasoning content and try again."
            )


def _blocks(message: Mapping[str, Any], member: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, block in enumerate(message["content"]):
        if member in block:
            yield f"content.{number}.{member}", block[member]


def _check_documents(model: Model, path: str, message: Mapping[str, Any]) -> None:
    documents = list(_blocks(message, "document"))
    if not documents:
        return
    if not model.can("documents"):
        raise _unsupported("documents")
    if message["role"] != "user":
        raise invalid(f"{path}: documents can be in messages of the user role only.")
    if len(documents) > _MOST_DOCUMENTS:
        raise invalid(f"{path}: too many documents: {len(documents)} > {_MOST_DOCUMENTS}.")
    if not any("text" in block for block in message["content"]):
        raise invalid(f"{path}: a text block must be provided when the message contains a document block.")
    for where, document in documents:
        if not _DOCUMENT_NAME.fullmatch(document["name"]):
            raise invalid(
                f"The format of the name at {path}.{where} is invalid. The document file name can only "
                "contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square "
                "brackets. The name can't contain more than one consecutive whitespace character."
            )
        if len(document["source"].get("bytes", b"")) > _DOCUMENT_BYTES:
            raise invalid(f"The document at {path}.{where} is larger than {_DOCUMENT_BYTES} bytes.")


def _check_names(messages: Sequence[Mapping[str, Any]]) -> None:
    names = [document["name"] for message in messages for _, document in _blocks(message, "document")]
    for name in names:
        if names.count(name) > 1:
            raise invalid(
                f"The request contains duplicate document names: {name}. Rename them and try again."
            )


def _check_images(model: Model, path: str, message: Mapping[str, Any]) -> None:
    images = list(_blocks(message, "image"))
    if not images:
        return
    if not model.can("images"):
        raise _unsupported("images")
    if len(images) > _MOST_IMAGES:
        raise invalid(f"{path}: too many images: {len(images)} > {_MOST_IMAGES}.")
    for where, image in images:
        if "bytes" in image["source"]:
            _check_image(f"{path}.{where}", image["format"], bytes(image["source"]["bytes"]))


def _check_image(where: str, form: str, data: bytes) -> None:
    if len(data) > _IMAGE_BYTES:
        raise invalid(f"{where}: the image exceeds {_IMAGE_BYTES} bytes: {len(data)} bytes.")
    image = measure_image(data)
    if image is None:
        raise invalid(f"{where}: Could not process image.")
    if image.format != form:
        raise invalid(f"{where}: the image was specified as {form}, but it appears to be {image.format}.")
    if max(image.width, image.height) > _IMAGE_SIDE:
        raise invalid(f"{where}: at least one of the image dimensions exceeds {_IMAGE_SIDE} pixels.")


def _check_tools(
    request: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], *, in_prompt: bool
) -> None:
    """Refuse tools, calls and results that do not fit; the tools of a managed prompt stand in the prompt."""
    config = request.get("toolConfig")
    used = [list(_blocks(message, "toolUse")) + list(_blocks(message, "toolResult")) for message in messages]
    if any(used) and not config and not in_prompt:
        raise invalid(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    if config:
        _check_tool_config(config)
    pending: list[str] = []
    for number, message in enumerate(messages):
        _check_objects(f"messages.{number}", message)
        if message["role"] == "assistant":
            pending = [use["toolUseId"] for _, use in _blocks(message, "toolUse") if "type" not in use]
        if message["role"] != "user":
            continue  # The results of the service's own tools stand in the answer itself.
        results = [result["toolUseId"] for _, result in _blocks(message, "toolResult")]
        missing = [tool_use_id for tool_use_id in pending if tool_use_id not in results]
        if missing:
            raise invalid(
                f"Expected toolResult blocks at messages.{number}.content for the following Ids: "
                f"{', '.join(missing)}"
            )
        if len(results) > len(pending):
            raise invalid(
                f"The number of toolResult blocks at messages.{number}.content exceeds the number of "
                "toolUse blocks of previous turn."
            )


def _check_beside_results(model: Model, number: int, message: Mapping[str, Any]) -> None:
    """Refuse what a family does not take beside the results of tools.

    Claude wants them first, and no document or video behind them; Llama and Mistral want them alone.
    """
    kinds = [kind for block in message["content"] for kind in block]
    if message["role"] != "user" or "toolResult" not in kinds:
        return
    others = [kind for kind in kinds if kind != "toolResult"]
    if model.family in ("llama", "mistral") and others:
        raise invalid(
            f"messages.{number}.content: Conversation blocks and tool result blocks cannot be provided in "
            "the same turn."
        )
    leading = kinds[: len(kinds) - len(others)]
    if model.family == "anthropic" and ({*leading} != {"toolResult"} or {"document", "video"} & {*others}):
        named = [result["toolUseId"] for _, result in _blocks(message, "toolResult")]
        raise invalid(
            f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(named)}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message."
        )


def _check_objects(path: str, message: Mapping[str, Any]) -> None:
    """Refuse a tool's input, or JSON that it gave, that is no object."""
    documents = [(f"{where}.input", use.get("input")) for where, use in _blocks(message, "toolUse")]
    for where, result in _blocks(message, "toolResult"):
        documents += [(f"{where}.{inner}", found) for inner, found in _blocks(result, "json")]
    for where, found in documents:
        if not isinstance(found, Mapping):
            raise invalid(
                f"The format of the value at {path}.{where} is invalid. "
                "Provide a json object for the field and try again."
            )


def _check_tool_config(config: Mapping[str, Any]) -> None:
    names = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"The tool {name} is already defined at toolConfig.tools.{names.index(name)}.")
    for number, tool in enumerate(config["tools"]):
        schema = tool.get("toolSpec", {}).get("inputSchema", {}).get("json", {"type": "object"})
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise invalid(
                f"The value at toolConfig.tools.{number}.toolSpec.inputSchema.json.type must be one of the "
                "following: object."
            )
    wanted = config.get("toolChoice", {}).get("tool", {}).get("name")
    if wanted is not None and wanted not in names:
        raise invalid(f"The tool {wanted} in toolConfig.toolChoice is not defined in toolConfig.tools.")


def _check_schema(model: Model, text_format: Mapping[str, Any]) -> None:
    if not model.can("schema"):
        raise _unsupported("the outputConfig.textFormat field")
    try:
        schema = json.loads(text_format["structure"]["jsonSchema"]["schema"])
    except ValueError as error:
        raise invalid(
            f"The value at outputConfig.textFormat.structure.jsonSchema.schema is not JSON: {error}"
        ) from None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise invalid(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema must describe an object."
        )
    for part in _schemas(schema):
        if why := _beyond_the_subset(part):
            raise invalid(
                f"The model returned the following errors: output_config.format.schema: For '{part['type']}' "
                f"type, {why}"
            )


def _beyond_the_subset(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        return "'additionalProperties' must be explicitly set to false"
    if kind == "array" and schema.get("minItems", 0) not in (0, 1):
        return "'minItems' values other than 0 or 1 are not supported"
    refused = _NATIVELY_REFUSED.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    if bounds := sorted(refused & set(schema)):
        return f"properties {', '.join(bounds)} are not supported"
    return None


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Give each schema within a schema; values and names are none."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    inside = [schema.get(key) for key in ("items", "contains", "not")]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems", "items"):
        inside += parts if isinstance(parts := schema.get(key), list) else []
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        inside += parts.values() if isinstance(parts := schema.get(key), Mapping) else []
    for part in inside:
        yield from _schemas(part)
