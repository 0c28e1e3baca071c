"""Prices a matrix of (model × usage × time × terms) with the package genai-prices, in exact decimals. See tests/prices/matrix."""
import datetime
import decimal
import json
import sys
import warnings

from genai_prices.data import providers
from genai_prices.decompose import compute_leaf_values
from genai_prices.types import StartDateConstraint, TieredPrices, TimeOfDateConstraint, Usage, calc_unit_price
from genai_prices.units import _get_registry

decimal.getcontext().prec = 80
warnings.simplefilter("error")
UNITS = _get_registry()
PICO = decimal.Decimal("1e-12")
NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.timezone.utc)
SECOND = datetime.timedelta(seconds=1)
BY_ID = {provider.id: provider for provider in providers}


def tokens(uncached, output, read=0, write=0, hour=0, **more):
    usage = {"input_tokens": uncached + read + write, "output_tokens": output, **more}
    for key, count in (("cache_read_tokens", read), ("cache_write_tokens", write), ("cache_write_1h_tokens", hour)):
        if count:
            usage[key] = count
    return usage


USAGES = [
    tokens(1_234, 567),
    tokens(1, 0),
    tokens(0, 0),
    tokens(0, 1),
    tokens(999_983, 127_997),
    tokens(2**53 - 1, 2**53 - 1),
    tokens(501, 77, read=3_001),
    tokens(501, 77, write=2_003),
    tokens(501, 77, write=2_003, hour=2_003),
    tokens(13, 7, read=11_003, write=2_003, hour=1_001),
    tokens(40, 8_191, output_reasoning_tokens=8_001),
    tokens(40, 8_191, output_reasoning_tokens=5_001, output_citation_tokens=2_003),
    tokens(4_001, 1_009, input_audio_tokens=3_001, output_audio_tokens=801),
    tokens(3_001, 1_009, read=1_001, input_audio_tokens=2_503, cache_audio_read_tokens=601, output_audio_tokens=1_009),
    tokens(4_001, 4_099, input_image_tokens=1_290, output_image_tokens=4_001),
    tokens(3_001, 4_099, read=1_001, input_image_tokens=1_290, cache_image_read_tokens=1_001, output_image_tokens=4_001),
    tokens(90_001, 5_009, input_video_tokens=80_003, output_video_tokens=5_003),
    tokens(90_001, 509, input_audio_tokens=2_003, input_image_tokens=258, input_video_tokens=60_007),
    tokens(1_234, 567, web_searches=3),
    tokens(1_234, 567, storage_searches=2),
    tokens(1_234, 567, web_searches=1, storage_searches=7),
    {"audio_seconds": "3.2", "input_audio_seconds": "3.2"},
    {"audio_seconds": "6123.456789", "input_audio_seconds": "6123.456789"},
    tokens(31, 4_001, audio_seconds="17.83", input_audio_seconds="17.83"),
    {"input_characters": 4_096},
    {"input_text_messages": 7},
    {"input_document_pages": 11},
    {"input_document_pages": 11, "input_annotated_document_pages": 3},
    # More parts than whole: the package refuses to price it.
    tokens(0, 10, read=5, input_audio_tokens=9, output_audio_tokens=11),
    {"input_tokens": 3, "output_tokens": 10, "cache_read_tokens": 5},
]


def prices_of(model):
    return [model.prices] if not isinstance(model.prices, list) else [step.prices for step in model.prices]


def usages(model, is_first):
    """Those on a scale that the model has a price for; of all others, the first model of a provider is asked too."""
    keys = {key for prices in prices_of(model) for key, price in prices.__dict__.items() if price is not None}
    families = {UNITS.unit_for_price_key(key).dimensions["family"] for key in keys}
    for usage in USAGES:
        if is_first or families & {UNITS.units[key].dimensions["family"] for key in usage}:
            yield usage
    yield from edges(model)


def edges(model):
    """Usages around each threshold of the input, cached tokens among it."""
    starts = set()
    for prices in prices_of(model) + [variant.prices for variant in model.price_variants or []]:
        for price in prices.__dict__.values():
            if isinstance(price, TieredPrices):
                starts |= {tier.start for tier in price.tiers}
    for start in sorted(starts):
        for total in (start, start + 1):
            yield tokens(total, 777)
            yield tokens(total - 30_001, 777, read=10_001, write=20_000, hour=9_999)


def times(model):
    """Now, and around each change: of a date, of the time of day."""
    constraints = [] if not isinstance(model.prices, list) else [step.constraint for step in model.prices]
    constraints += [variant.constraint for variant in model.price_variants or []]
    found = {NOW}
    for constraint in constraints:
        if isinstance(constraint, StartDateConstraint):
            start = datetime.datetime.combine(constraint.start_date, datetime.time(), datetime.timezone.utc)
            found |= {start - SECOND, start}
        elif isinstance(constraint, TimeOfDateConstraint):
            for time in (constraint.start_time, constraint.end_time):
                at = datetime.datetime.combine(NOW.date(), time)
                found |= {at - SECOND, at}
        elif constraint is not None:
            sys.exit(f"unknown constraint {constraint}")
    return sorted(found)


def terms(model):
    found = [{}]
    for variant in model.price_variants or []:
        if variant.when not in found:
            found.append(variant.when)
    return found


def names(match):
    """Names that a clause spells out."""
    for attribute in ("equals", "starts_with", "ends_with", "contains"):
        if (name := getattr(match, attribute, None)) is not None:
            yield name
    for attribute in ("or_", "and_"):
        for part in getattr(match, attribute, None) or []:
            yield from names(part)


def part_of(unit):
    dimensions = unit.dimensions
    if dimensions["family"] != "tokens":
        return "other"
    token_type = dimensions.get("token_type")
    return token_type if token_type in ("cache_read", "cache_write") else dimensions["direction"]


def parts(prices, usage):
    """The package's own sums, told apart as the event tells them."""
    priced = [(UNITS.unit_for_price_key(key), price) for key, price in prices.__dict__.items() if price is not None]
    keys = {unit.usage_key: unit for unit, _ in priced if unit.usage_key != "requests"}
    leaves = compute_leaf_values(set(keys), usage, keys)
    sums = dict.fromkeys(("input", "output", "cache_read", "cache_write", "other"), decimal.Decimal(0))
    total_input = usage.reported_value("input_tokens")
    for unit, price in priced:
        count = 1 if unit.usage_key == "requests" else leaves[unit.usage_key]
        sums[part_of(unit)] += calc_unit_price(price, count, total_input, unit.per)
        if unit.usage_key == "input_tokens":
            left = count
            for part in ("cache_read", "cache_write"):
                if f"{part}_tokens" not in keys:
                    moved = min(usage.reported_value(f"{part}_tokens"), left)
                    left -= moved
                    cost = calc_unit_price(price, moved, total_input, unit.per)
                    sums["input"] -= cost
                    sums[part] += cost
    return sums


def row(provider, name, model, usage, at, context):
    line = {"provider": provider.id, "model": name, "id": model.id, "at": int(at.timestamp()), "terms": context, "usage": usage}
    counted = Usage(**{key: decimal.Decimal(count) if isinstance(count, str) else count for key, count in usage.items()})
    try:
        cost = model.calc_price(counted, provider, genai_request_timestamp=at, price_context=context)
    except ValueError as error:
        return {**line, "error": str(error)}
    line["usd"] = format(cost.total_price.normalize(), "f")
    # The package itself rounds a recording of less than ten seconds up.
    if provider.id != "groq" or "audio_seconds" not in usage:
        sums = parts(cost.model_price, counted)
        if sum(sums.values()) != cost.total_price:
            sys.exit(f"the parts are not the whole: {line}")
        line["parts"] = {part: format(value.quantize(PICO, decimal.ROUND_HALF_EVEN).normalize(), "f") for part, value in sums.items()}
    return line


def main():
    unreachable = 0
    for provider in providers:
        resold = [BY_ID[id] for id in provider.fallback_model_providers or [] if id in BY_ID]
        for owner in [provider] + resold:
            for model in owner.models:
                known = dict.fromkeys([model.id, *names(model.match)])
                known = [name for name in known if provider.find_model(name, all_providers=providers) is model]
                if not known:
                    unreachable += owner is provider
                    continue
                name, at = known[0], NOW
                contexts = terms(model) if owner is provider else [{}]
                rows = [(name, usage, at, context) for usage in usages(model, model is owner.models[0]) for at in times(model) for context in contexts]
                # On what terms a reseller serves, its own list tells, if anybody.
                rows += [(name, USAGES[0], NOW, context) for context in terms(model) if owner is not provider]
                # Each of its names, written as it is, in capitals, and with its date in one piece.
                for other in known[1:]:
                    for spelt in dict.fromkeys((other, other.upper(), other.replace("-2025-", "-2025").replace("-2026-", "-2026"))):
                        if provider.find_model(spelt, all_providers=providers) is model:
                            rows.append((spelt, USAGES[0], NOW, {}))
                if model is owner.models[0]:
                    rows += [(name, USAGES[0], NOW, {"service_tier": tier}) for tier in ("default", "flex", "priority", "batch", "scale", "tomorrow")]
                    rows += [(name, USAGES[0], NOW, {"speed": speed}) for speed in ("standard", "fast")]
                for spelt, usage, at, context in rows:
                    print(json.dumps(row(provider, spelt, model, usage, at, context)))
    print(json.dumps({"unreachable": unreachable}))


if __name__ == "__main__":
    main()
