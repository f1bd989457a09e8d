"""Other programs' pictures: what is translated, and that all the rest is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pictures import foreign
from core.pictures.at_hand import AtHand
from core.pictures.foreign import weights
from core.pictures.infotext import parse
from core.pictures.reading import PROGRAMS, Reading, read
from core.request import HiresFix


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH = {
    "1": node("CheckpointLoaderSimple", ckpt_name="sd\\anime.safetensors"),
    "2": node(
        "LoraLoader",
        lora_name="ink.safetensors",
        strength_model=0.8,
        strength_clip=0.5,
        model=["1", 0],
        clip=["1", 1],
    ),
    "3": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["2", 1]),
    "4": node("CLIPTextEncode", text="a [red] (fox:1.2), embedding:style.pt", clip=["3", 0]),
    "5": node("CLIPTextEncode", text="bad", clip=["3", 0]),
    "6": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "7": node(
        "KSampler",
        seed=42,
        steps=25,
        cfg=6.5,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=1,
        model=["2", 0],
        positive=["4", 0],
        negative=["5", 0],
        latent_image=["6", 0],
    ),
    "8": node("VAEDecode", samples=["7", 0], vae=["9", 0]),
    "9": node("VAELoader", vae_name="kl-f8.safetensors"),
    "10": node("SaveImage", images=["8", 0]),
}
USUAL = {
    "Prompt": r"a \[red\] (fox:1.2), style <lora:ink:0.5:0.8>",
    "Negative prompt": "bad",
    "Steps": "25",
    "Sampler": "DPM++ 2M",
    "Schedule type": "Karras",
    "CFG scale": "6.5",
    "Seed": "42",
    "Size-1": "512",
    "Size-2": "768",
    "Model": "anime",
    "VAE": "kl-f8",
    "Clip skip": "2",
    "RNG": "CPU",
    "Used embeddings": "style",
    "Version": "ComfyUI",
}


def changed(**nodes: dict[str, Any]) -> dict[str, Any]:
    """The graph with other inputs for some nodes, or with further nodes (``_11=…``)."""
    graph: dict[str, Any] = json.loads(json.dumps(GRAPH))
    for key, inputs in nodes.items():
        number = key.strip("_")
        if "class_type" in inputs:
            graph[number] = inputs
        else:
            graph[number]["inputs"] |= inputs
    return graph


def translated(**entries: Any) -> dict[str, Any]:
    text = foreign.to_infotext(as_texts(entries))
    assert text is not None
    return parse(text)


def as_texts(entries: dict[str, Any]) -> dict[str, str]:
    """Entries as a file has them: what is no text is JSON."""
    return {
        key: each if isinstance(each, str) else json.dumps(each) for key, each in entries.items()
    }


def comfy(graph: dict[str, Any]) -> dict[str, Any]:
    return translated(prompt=graph)


def said(parsed: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: parsed.get(key) for key in keys or USUAL}


# ComfyUI


def test_a_graph_needs_no_workflow_beside_it() -> None:
    assert said(comfy(GRAPH)) == USUAL


@pytest.mark.parametrize(
    "wrap",
    [
        lambda graph: {"UserComment": json.dumps({"prompt": graph, "workflow": {}})},
        lambda graph: {"UserComment": json.dumps({"prompt": json.dumps(graph)})},
        lambda graph: {"UserComment": json.dumps(graph | {"extra": {"airs": []}})},
        lambda graph: {"prompt": json.dumps(graph).replace("25", '25, "x": NaN')},
    ],
)
def test_wherever_the_graph_stands(wrap: Any) -> None:
    assert said(parse(foreign.to_infotext(wrap(GRAPH)) or "")) == USUAL


def test_links_are_followed_to_numbers_and_texts() -> None:
    graph = changed(
        _7={"seed": ["20", 0], "steps": ["21", 0], "sampler_name": ["22", 0]},
        _4={"text": ["23", 0]},
        _6={"width": ["28", 0]},
        _20=node("PrimitiveInt", value=42),
        _21=node("Reroute", **{"": ["26", 0]}),
        _22=node("Sampler Selector", sampler_name="dpmpp_2m"),
        _23=node("StringConcatenate", string_a=["24", 0], string_b=["25", 0], delimiter=", "),
        _24=node("String Literal", string="a [red] (fox:1.2)"),
        _25=node("ShowText", text=["27", 0]),
        _26=node("INT Constant", value=25),
        _27=node("Text Multiline", text="embedding:style.pt"),
        _28=node("SDXL Resolution", width=512),
    )
    assert said(comfy(graph)) == USUAL


def test_a_text_that_cannot_be_followed_is_named() -> None:
    parsed = comfy(changed(_4={"text": ["20", 0]}, _20=node("WildMagic", wires=["21", 0])))
    assert parsed["Prompt"] == "<lora:ink:0.5:0.8>"
    assert parsed["Unread prompt"] == "node 4 (CLIPTextEncode)"
    assert parsed["Negative prompt"] == "bad"


@pytest.mark.parametrize(
    ("inputs", "found"),
    [({"model": ["1", 0]}, "<lora:ink:0.5:0>"), ({"model": ["2", 0]}, "<lora:ink:0.5:0.8>")],
)
def test_a_lora_counts_where_its_links_lead(inputs: dict[str, Any], found: str) -> None:
    assert found in comfy(changed(_7=inputs))["Prompt"]


def test_a_lora_outside_of_the_links_is_said_to_be_unused() -> None:
    parsed = comfy(changed(_7={"model": ["1", 0]}, _3={"clip": ["1", 1]}))
    assert "lora" not in parsed["Prompt"]
    assert parsed["Unused nodes"] == "LoraLoader ink"


def test_loaders_of_several_loras() -> None:
    power = node(
        "Power Lora Loader (rgthree)",
        model=["1", 0],
        clip=["1", 1],
        lora_1={"on": True, "lora": "a.safetensors", "strength": 0.7},
        lora_2={"on": False, "lora": "b.safetensors", "strength": 1},
    )
    assert "<lora:a:0.7>" in comfy(changed(_2=power))["Prompt"]
    stack = node("LoRA Stacker", lora_name_1="c", model_weight_1=0.3, clip_weight_1=0.4)
    stack["inputs"] |= {"lora_name_2": "None", "model_weight_2": 1, "clip_weight_2": 1}
    apply = node("Apply LoRA Stack", model=["1", 0], clip=["1", 1], lora_stack=["20", 0])
    assert "<lora:c:0.4:0.3>" in comfy(changed(_2=apply, _20=stack))["Prompt"]
    only = node("LoraLoaderModelOnly", lora_name="d", strength_model=0.6, model=["1", 0])
    assert "<lora:d:0:0.6>" in comfy(changed(_2=only, _3={"clip": ["1", 1]}))["Prompt"]


def test_a_sampler_of_parts() -> None:
    graph = changed(
        _7=node(
            "SamplerCustomAdvanced",
            noise=["20", 0],
            guider=["21", 0],
            sampler=["22", 0],
            sigmas=["23", 0],
            latent_image=["6", 0],
        ),
        _20=node("RandomNoise", noise_seed=42),
        _21=node("CFGGuider", cfg=6.5, model=["2", 0], positive=["4", 0], negative=["5", 0]),
        _22=node("KSamplerSelect", sampler_name="dpmpp_2m"),
        _23=node("BasicScheduler", scheduler="karras", steps=25, denoise=1, model=["2", 0]),
    )
    assert said(comfy(graph)) == USUAL
    graph["23"] = node("AlignYourStepsScheduler", model_type="SD1", steps=25, denoise=1)
    assert comfy(graph)["Schedule type"] == "Align Your Steps"


def test_a_loader_that_does_it_all() -> None:
    loader = node(
        "Efficient Loader",
        ckpt_name="anime.safetensors",
        vae_name="kl-f8.safetensors",
        clip_skip=-2,
        lora_name="ink.safetensors",
        lora_model_strength=0.8,
        lora_clip_strength=0.5,
        positive="a [red] (fox:1.2), embedding:style",
        negative="bad",
        empty_latent_width=512,
        empty_latent_height=768,
        batch_size=1,
    )
    sampler = changed(
        _7={"model": ["1", 0], "positive": ["1", 1], "negative": ["1", 2], "latent_image": ["1", 3]}
    )["7"]
    graph = {"1": loader, "7": sampler, "8": node("VAEDecode", samples=["7", 0], vae=["1", 4])}
    assert said(comfy(graph)) == USUAL


def test_what_else_took_part_is_named() -> None:
    graph = changed(
        _7={"positive": ["20", 0], "negative": ["20", 1], "model": ["21", 0]},
        _20=node(
            "ControlNetApplyAdvanced",
            strength=0.9,
            positive=["4", 0],
            negative=["5", 0],
            control_net=["22", 0],
        ),
        _21=node("FreeU_V2", b1=1.3, model=["2", 0]),
        _22=node("ControlNetLoader", control_net_name="canny"),
        _10={"images": ["23", 0]},
        _23=node("FaceDetailer", image=["8", 0], guide_size=512, steps=5),
    )
    parsed = comfy(graph)
    assert said(parsed) == USUAL
    left = {each.key: str(each.why) for each in read_text(prompt=graph).left_out}
    assert left == {
        "Node ControlNetApplyAdvanced": "the extension ControlNet is not supported",
        "Node FreeU_V2": "the extension FreeU is not supported",
        "Node FaceDetailer": "the extension ADetailer is not supported",
    }


def two_passes(*way: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """A graph of two passes; ``way`` are the nodes 21, 22, … between them, the last one first."""
    second = {"steps": 10, "denoise": 0.5, "latent_image": ["21", 0], **inputs}
    nodes = {f"_{21 + number}": each for number, each in enumerate(way)}
    return changed(_20=changed(_7=second)["7"], _8={"samples": ["20", 0]}, **nodes)


BY = {"upscale_method": "bicubic", "scale_by": 1.5}
TO = {"upscale_method": "nearest-exact", "width": 768, "height": 1152}
SIZE: dict[str, Any] = {"resize_width": 768, "resize_height": 1152}
UPSCALERS = {
    "a latent by a factor": (
        [node("LatentUpscaleBy", samples=["7", 0], **BY)],
        HiresFix(1.5, 10, 0.5, "Latent (bicubic)"),
    ),
    "a latent to a size": (
        [node("LatentUpscale", samples=["7", 0], **TO)],
        HiresFix(1.5, 10, 0.5, "Latent (nearest-exact)", **SIZE),
    ),
    "pixels to a size": (
        [
            node("VAEEncode", pixels=["22", 0], vae=["9", 0]),
            node("ImageScale", image=["23", 0], **TO),
            node("VAEDecode", samples=["7", 0], vae=["9", 0]),
        ],
        HiresFix(1.5, 10, 0.5, "Nearest", **SIZE),
    ),
    "pixels by a model": (
        [
            node("VAEEncode", pixels=["22", 0], vae=["9", 0]),
            node("ImageScaleBy", image=["23", 0], upscale_method="area", scale_by=0.5),
            node("ImageUpscaleWithModel", image=["24", 0], upscale_model=["25", 0]),
            node("VAEDecode", samples=["7", 0], vae=["9", 0]),
            node("UpscaleModelLoader", model_name="4x-UltraSharp.pth"),
        ],
        HiresFix(2, 10, 0.5, "4x-UltraSharp"),
    ),
}


@pytest.mark.parametrize("way", UPSCALERS)
def test_a_second_pass_over_an_enlarged_image_is_hires_fix(way: str) -> None:
    nodes, hires = UPSCALERS[way]
    text = foreign.to_infotext({"prompt": json.dumps(two_passes(*nodes))}) or ""
    found = read(text, AtHand.named(upscalers=["4x-UltraSharp"]))
    assert found.values["hires"] == hires
    assert found.values["seed"] == 42
    assert found.left_out == ()


def test_what_a_second_pass_has_of_its_own() -> None:
    way = node("LatentUpscaleBy", samples=["7", 0], **BY)
    graph = two_passes(way, seed=5, cfg=3, sampler_name="euler", scheduler="normal")
    found = read_text(prompt=graph)
    hires = found.values["hires"]
    assert (hires.sampler, hires.schedule_type, hires.cfg_scale) == ("Euler", "Uniform", 3)
    assert [(each.key, each.value) for each in found.left_out] == [("Another pass seed", "5")]


@pytest.mark.parametrize(
    "way",
    [
        [node("LatentUpscaleBy", samples=["7", 0], upscale_method="bislerp", scale_by=1.5)],
        [node("LatentRotate", samples=["7", 0], rotation="90 degrees")],
        [node("LatentUpscaleBy", samples=["22", 0], **BY), node("Odd", samples=["7", 0])],
        [node("Reroute", **{"": ["7", 0]})],
    ],
)
def test_another_pass_is_named(way: list[dict[str, Any]]) -> None:
    found = read_text(prompt=two_passes(*way))
    assert "hires" not in found.values
    keys = {each.key for each in found.left_out}
    assert "Another pass" in keys
    assert keys >= {f"Node {each['class_type']}" for each in way} - {"Node Reroute"}


def test_a_batch_and_a_start_image_are_named() -> None:
    reading = read_text(prompt=changed(_6={"batch_size": 4}))
    assert [each.key for each in reading.left_out] == ["Images from one seed"]
    graph = changed(
        _7={"denoise": 0.6, "latent_image": ["20", 0]},
        _20=node("VAEEncode", pixels=["21", 0], vae=["9", 0]),
        _21=node("LoadImage", image="photo.png"),
    )
    reading = read_text(prompt=graph)
    assert reading.values["denoising_strength"] == 0.6
    assert {each.key for each in reading.left_out} == {"Start image", "Denoising strength"}


def test_conditionings_that_are_combined_are_named() -> None:
    graph = changed(
        _7={"positive": ["20", 0]},
        _20=node("ConditioningCombine", conditioning_1=["4", 0], conditioning_2=["21", 0]),
        _21=node("CLIPTextEncode", text="a lake", clip=["3", 0]),
    )
    parsed = comfy(graph)
    assert parsed["Prompt"] == USUAL["Prompt"]
    assert parsed["Node ConditioningCombine positive"] == "a lake"


def test_weights_are_kept_where_the_node_reads_them_as_a1111() -> None:
    text = "a [red] fox"
    assert comfy(changed(_4={"text": text}))["Prompt"].startswith(r"a \[red\] fox")
    assert comfy(changed(_4={"text": text, "parser": "A1111"}))["Prompt"].startswith(text)


WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["sd/anime.safetensors"]},
        {
            "id": 4,
            "type": "CLIPTextEncode",
            "inputs": [{"name": "clip", "link": 1}],
            "widgets_values": ["a fox"],
        },
        {"id": 6, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1]},
        {
            "id": 7,
            "type": "KSampler",
            "inputs": [
                {"name": "model", "link": 2},
                {"name": "positive", "link": 3},
                {"name": "latent_image", "link": 4},
            ],
            "widgets_values": [42, "fixed", 25, 6.5, "euler", "normal", 1],
        },
        {"id": 8, "type": "SaveImage", "inputs": [{"name": "images", "link": 5}], "mode": 0},
        {"id": 9, "type": "KSampler", "widgets_values": [1], "mode": 4},
    ],
    "links": [
        [1, 1, 1, 4, 0, "CLIP"],
        [2, 1, 0, 7, 0, "MODEL"],
        [3, 4, 0, 7, 1, "CONDITIONING"],
        [4, 6, 0, 7, 3, "LATENT"],
        [5, 7, 0, 8, 0, "IMAGE"],
    ],
}


def test_a_workflow_alone_is_read() -> None:
    parsed = translated(workflow=WORKFLOW)
    assert said(parsed, "Prompt", "Seed", "Steps", "Sampler", "Model", "Size-2") == {
        "Prompt": "a fox",
        "Seed": "42",
        "Steps": "25",
        "Sampler": "Euler",
        "Model": "anime",
        "Size-2": "768",
    }


def test_circles_and_crowds_end() -> None:
    for key, inputs in {
        "_4": {"text": ["4", 0]},
        "_3": {"clip": ["3", 0]},
        "_2": {"model": ["2", 0], "lora_stack": ["2", 0]},
        "_7": {"latent_image": ["7", 0], "positive": ["7", 0], "seed": ["7", 0]},
        "_8": {"samples": ["10", 0]},
    }.items():
        foreign.to_infotext({"prompt": json.dumps(changed(**{key: inputs}))})
    parts = {f"text_{letter}": ["20", 0] for letter in "abcdefgh"}
    wide = changed(_4={"text": ["20", 0]}, _20=node("Concat", **parts))
    foreign.to_infotext({"prompt": json.dumps(wide)})
    samplers = {str(number): GRAPH["7"] for number in range(3000)}
    foreign.to_infotext({"prompt": json.dumps(samplers)})
    combined = {
        str(n): node("ConditioningCombine", **{f"conditioning_{i}": [str(n + 1), 0] for i in "ab"})
        for n in range(20, 80)
    }
    deep = changed(_7={"positive": ["20", 0]}) | combined
    foreign.to_infotext({"prompt": json.dumps(deep)})


# The others


def read_text(**entries: Any) -> Reading:
    return read(foreign.to_infotext(as_texts(entries)) or "")


INVOKE4 = {
    "app_version": "4.2.9",
    "generation_mode": "txt2img",
    "positive_prompt": "a red fox+, (snow)1.3, a [b] (c d)--",
    "negative_prompt": "blurry",
    "width": 512,
    "height": 768,
    "seed": 42,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "cfg_rescale_multiplier": 0,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 1,
    "model": {"key": "9f", "hash": "blake3:6a", "name": "anime", "base": "sd-1"},
    "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
    "vae": {"name": "kl-f8"},
}


def test_invokeai_4() -> None:
    parsed = translated(invokeai_metadata=INVOKE4)
    assert parsed["Prompt"] == (r"a red (fox:1.1), (snow:1.3), a \[b\] (c d:0.81) <lora:ink:0.75>")
    keys = ("Model", "VAE", "Clip skip", "Sampler", "Schedule type", "RNG", "Size-1")
    assert list(said(parsed, *keys).values()) == [
        *("anime", "kl-f8", "2", "DPM++ 2M", "Karras", "CPU", "512")
    ]
    reading = read_text(invokeai_metadata=INVOKE4)
    assert reading.left_out == ()
    assert [note.key for note in reading.remarks] == ["only_information", "from_invokeai"]


def test_what_invokeai_does_besides_is_named() -> None:
    more = {
        "cfg_rescale_multiplier": 0.7,
        "seamless_x": True,
        "seamless_y": False,
        "controlnets": [{"control_model": {"name": "canny"}}],
        "regions": [],
        "rand_device": "cuda",
        "hrf_enabled": True,
        "hrf_strength": 0.45,
        "refiner_model": {"name": "refine"},
        "positive_style_prompt": "ink",
        "a_new_thing": 3,
        "positive_prompt": '("a cat", "a dog").blend(0.5, 0.5)',
    }
    left = {
        each.key: str(each.why) for each in read_text(invokeai_metadata=INVOKE4 | more).left_out
    }
    assert left == {
        "hrf_enabled": "this kind of second pass is not supported",
        "hrf_strength": "this kind of second pass is not supported",
        "Prompt functions": "this option is not supported",
        "positive_style_prompt": "this option is not supported",
        "cfg_rescale_multiplier": "the extension CFG Rescale is not supported",
        "seamless_x": "this option is not supported",
        "controlnets": "the extension ControlNet is not supported",
        "refiner_model": "refiner models are not supported",
        "a_new_thing": "this setting of InvokeAI is not supported",
    }


def test_older_invokeais() -> None:
    old = {
        "model_weights": "anime",
        "model_hash": "abc",
        "app_id": "invoke-ai/InvokeAI",
        "image": {
            "prompt": [{"prompt": "a fox [bad, worse] here", "weight": 1}],
            "steps": 20,
            "cfg_scale": 7,
            "seed": 5,
            "sampler": "k_euler_a",
            "width": 512,
            "height": 640,
        },
    }
    dream = '"a fox [bad, worse] here" -s 20 -S 5 -W 512 -H 640 -C 7 -A k_euler_a'
    for entries in ({"sd-metadata": json.dumps(old)}, {"Dream": dream}):
        parsed = parse(foreign.to_infotext(entries) or "")
        assert parsed["Prompt"].split() == ["a", "fox", "here"]
        assert parsed["Negative prompt"] == "bad, worse"
        assert said(parsed, "Seed", "Sampler", "Size-2") == {
            "Seed": "5",
            "Sampler": "Euler a",
            "Size-2": "640",
        }


def test_swarmui() -> None:
    values = {
        "prompt": "a [red] fox, <embed:style>",
        "negativeprompt": "bad",
        "model": "sd/anime.safetensors",
        "seed": 42,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 512,
        "height": 768,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "clipstopatlayer": -2,
        "loras": ["ink"],
        "loraweights": ["0.5"],
        "variationseed": 3,
        "variationseedstrength": 0.2,
        "swarm_version": "0.9",
        "refinermethod": "PostApply",
    }
    for carrier in ("parameters", "UserComment"):
        text = json.dumps({"sui_image_params": values, "sui_extra_data": {"date": "x"}})
        parsed = parse(foreign.to_infotext({carrier: text}) or "")
        assert parsed["Prompt"] == r"a \[red\] fox, style <lora:ink:0.5>"
        assert said(parsed, "Model", "Clip skip", "Sampler", "Schedule type", "Variation seed") == {
            "Model": "anime",
            "Clip skip": "2",
            "Sampler": "DPM++ 2M",
            "Schedule type": "Karras",
            "Variation seed": "3",
        }
        assert parsed["refinermethod"] == "PostApply"


def test_easy_diffusion() -> None:
    values = {
        "prompt": "a red fox",
        "negative_prompt": "bad",
        "seed": "42",
        "use_stable_diffusion_model": "sd/anime",
        "clip_skip": "True",
        "use_vae_model": "kl-f8",
        "sampler_name": "euler_a",
        "width": "512",
        "height": "768",
        "num_inference_steps": "25",
        "guidance_scale": "7.5",
        "use_lora_model": "['ink', 'gold']",
        "lora_alpha": "[0.5, 1]",
        "use_hypernetwork_model": "None",
        "use_upscale": "RealESRGAN_x4plus",
        "tiling": "none",
    }
    for texts in (values, {"UserComment": json.dumps(values)}):
        parsed = parse(foreign.to_infotext(texts) or "")
        assert parsed["Prompt"] == "a red fox <lora:ink:0.5> <lora:gold:1>"
        assert said(parsed, "Model", "VAE", "Clip skip", "Sampler", "Steps", "Size-1") == {
            "Model": "anime",
            "VAE": "kl-f8",
            "Clip skip": "2",
            "Sampler": "Euler a",
            "Steps": "25",
            "Size-1": "512",
        }
        assert [each.key for each in read(foreign.to_infotext(texts) or "").left_out] == [
            "use_upscale"
        ]


def test_draw_things() -> None:
    values = {
        "c": "a red fox",
        "uc": "bad",
        "model": "anime_f16.ckpt",
        "sampler": "Euler Ancestral",
        "scale": 7.5,
        "seed": 42,
        "seed_mode": "Torch CPU Compatible",
        "size": "512x768",
        "steps": 20,
        "strength": 1,
        "lora": [{"model": "ink.ckpt", "weight": 0.6}],
        "v2": {"clipSkip": 2, "seed": 42, "maskBlur": 1.5, "hiresFix": True, "sharpness": 0},
    }
    parsed = translated(**{"XMP UserComment": values})
    assert parsed["Prompt"] == "a red fox <lora:ink:0.6>"
    assert said(parsed, "Model", "Clip skip", "Sampler", "RNG", "Size-2") == {
        "Model": "anime_f16",
        "Clip skip": "2",
        "Sampler": "Euler a",
        "RNG": "CPU",
        "Size-2": "768",
    }
    reading = read_text(**{"XMP UserComment": values | {"seed_mode": "Scale Alike"}})
    assert {each.key for each in reading.left_out} == {"Seed mode", "hiresFix"}


def test_fooocus_encodes_its_styles_in_parts() -> None:
    values = {
        "base_model": "anime",
        "base_model_hash": "e1441589a6",
        "prompt": "a fox",
        "negative_prompt": "",
        "full_prompt": ["a fox, cinematic", "a fox, sharp"],
        "full_negative_prompt": ["bad", "worse"],
        "styles": "['Cinematic', 'Sharp']",
        "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "karras",
        "seed": "42",
        "steps": 25,
        "guidance_scale": 4,
        "resolution": "(896, 1152)",
        "lora_combined_1": "ink.safetensors : 0.5",
        "sharpness": 2.0,
        "refiner_model": "None",
        "vae": "Default (model)",
    }
    parsed = translated(parameters=values)
    assert parsed["Prompt"] == "a fox, cinematic BREAK a fox, sharp <lora:ink:0.5>"
    assert parsed["Negative prompt"] == "bad BREAK worse"
    for carrier in ("parameters", "UserComment"):
        found = read_text(**{carrier: values, "fooocus_scheme": "fooocus", "EXIF 0x131": "Fooocus"})
        assert [each.key for each in found.left_out] == ["sharpness"]


def test_novelai_names_what_is_its_own() -> None:
    comment = {
        "prompt": "x",
        "steps": 28,
        "scale": 5,
        "uncond_scale": 1.0,
        "cfg_rescale": 0.2,
        "seed": 42,
        "sampler": "k_euler_ancestral",
        "noise_schedule": "karras",
        "sm": True,
        "sm_dyn": False,
        "uc": "bad",
        "width": 832,
        "height": 1216,
        "v4_prompt": {"caption": {"char_captions": [{"char_caption": "a girl"}]}},
    }
    entries = {
        "Description": "a {{fox}}, [dim], 1.5::rain, snow:: (plain)",
        "Software": "NovelAI",
        "Source": "NovelAI Diffusion V4 37442FCA",
        "Comment": comment,
    }
    parsed = translated(**entries)
    assert parsed["Prompt"] == (r"a ((fox:1.05):1.05), (dim:0.9524), (rain, snow:1.5) \(plain\)")
    assert said(parsed, "Sampler", "Schedule type", "Clip skip", "ENSD") == {
        "Sampler": "Euler a",
        "Schedule type": "Karras",
        "Clip skip": "2",
        "ENSD": "31337",
    }
    assert [each.key for each in read_text(**entries).left_out if each.key != "ENSD"] == [
        *("v4_prompt characters", "cfg_rescale", "sm")
    ]


def test_novelais_first_texts_say_no_size_and_a_strength_without_a_start_image() -> None:
    comment = {"steps": 28, "sampler": "k_euler_ancestral", "seed": 1, "strength": 0.69}
    comment |= {"noise": 0.667, "scale": 11.0, "uc": "lowres"}
    entries = {"Description": "a girl", "Software": "NovelAI", "Comment": json.dumps(comment)}
    found = read(foreign.to_infotext(entries, (512, 768)) or "")
    assert (found.values["width"], found.values["height"]) == (512, 768)
    assert found.left_out == ()
    entries["Comment"] = json.dumps(comment | {"request_type": "Img2ImgRequest"})
    found = read(foreign.to_infotext(entries, (512, 768)) or "")
    assert {each.key for each in found.left_out} == {"Denoising strength", "noise"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_has_one_remark(program: str) -> None:
    text = f"a\nSteps: 1, Sampler: Euler, Seed: 1, RNG: CPU, Version: {program}"
    remarks = [note for note in read(text).remarks if note.key.startswith("from_")]
    assert len(remarks) == 1
    assert program in str(remarks[0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("word+", "(word:1.1)"),
        ("word++, other", "(word:1.21), other"),
        ("word-", "(word:0.9)"),
        ("well-known, e-mail", "well-known, e-mail"),
        ("(a b)+ c", "(a b:1.1) c"),
        ("((a)1.2 b)0.5", "((a:1.2) b:0.5)"),
        ("(plain) text", "plain text"),
        ("open (here", r"open \(here"),
        (r"\(kept\)", r"\(kept\)"),
        ("C++", "(C:1.21)"),
    ],
)
def test_invokeais_weights(given: str, expected: str) -> None:
    assert weights.from_invokeai(given) == expected


@given(st.text(alphabet="ab ()[]{}+-:.1\\,", max_size=40))
def test_any_words_are_rewritten(text: str) -> None:
    for rewrite in (weights.from_comfyui, weights.from_invokeai, weights.from_novelai):
        rewrite(text)


WORDS = (
    *("prompt", "inputs", "class_type", "seed", "steps", "model", "loras", "c", "uc", "lora_name"),
    *("latent_image", "positive", "text", "1", "v2", "image", "sampler", "clip", "v4_prompt"),
)
ENTRIES = (
    *("prompt", "workflow", "parameters", "Comment", "UserComment", "invokeai_metadata"),
    *("sd-metadata", "sui_image_params", "base_model", "num_inference_steps"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(ENTRIES), JSON, max_size=4))
def test_any_json_is_read_or_nobodys(entries: dict[str, Any]) -> None:
    text = foreign.to_infotext(as_texts(entries))
    if text is not None:
        read(text)
