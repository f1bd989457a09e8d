"""Notes on a request for the member: what was ignored, what has no effect. Not errors.

The sentences here are plain English for a terminal; the members' are in ``data/locales``, as
``note.<key>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOTES: Final[dict[str, str]] = {
    "lora_left_out": "<{kind}:{name}> was left out; a LoRA is written <lora:name:weight>",
    "lora_argument": "“{argument}” in <{kind}:{name}> was left out",
    "lora_negative": "<{kind}:{name}> in the negative prompt was read as words",
    "lora_twice": "the LoRA {name} is named twice, and both weights count",
    "embedding_left_out": "the embedding {name} is for other models, so its name was read as words",
    "schedule_not_weight": "[{text}] switches words at a step; for a weight write ({text})",
    "unclosed_bracket": "a “{bracket}” is never closed; it runs to the end of the prompt",
    "bad_weight": "“{text}” is not a number and was read as words; a weight looks like (words:1.2)",
    "end_weight": "“:{number}” at the end was read as words; for a weight write (words:1.2)",
    "schedule_off": "a lone “{sign}” makes every [from:to:when] here plain words; write “\\{sign}”",
    "too_many_parts": "only the first {limit} AND parts are used",
    "long_prompt": "the {which} is {tokens} tokens, {chunks} chunks of 75",
    "clip_skip_no_effect": "clip skip has no effect on {family}",
    "clip_skip_sdxl": "on SDXL clip skip 1 and 2 are the same; from 3 on both encoders stop",
    "unreadable_range": "{name} “{value}” was left out; it can be {low} to {high}",
    "unreadable_multiple": "{name} “{value}” was left out; it can be {low} to {high}, by {step}",
    "unreadable_pixels": "{name} “{value}” was left out; a side can be {high} pixels at most",
    "unknown_name": "there is no {kind} called “{name}” here",
    "other_upscaler": "{name} is not here; {used} enlarges instead",
    "not_used": "not used from the parameters: {names}",
    "other_noise": "its noise was drawn elsewhere, so the same seed may give another picture here",
    "card_noise": "at this size GPU noise depends on the card, so the picture may be another here",
    "large_seed": "seed {value} was cut to {used}, so the picture may be another one",
    "size_cut": "size {value} was cut to {used}, as a latent is 8 pixels",
    "nearest_name": "the {kind} “{name}” is not here; {used} is the nearest",
    "crossed_sigmas": "the schedule’s sigmas from {low} to {high} cross, so both were left out",
    "schedule_unused": "{sampler} has its own steps, so schedule type {name} changes nothing",
    "unreadable_yes_no": "{name} “{value}” was left out; it can be True or False",
    "left_file": "file not here",
    "left_other_file": "the file of this name here is another one",
    "left_start_image": "the start image is not in the file",
    "left_mask": "the mask and the start image are not in the file",
    "left_face": "face restoration is not supported",
    "left_hypernetwork": "hypernetworks are not supported",
    "left_refiner": "refiner models are not supported",
    "left_regions": "prompts for regions are not supported",
    "left_script": "this script is not supported",
    "left_after": "changes to the finished image are not supported",
    "left_second_pass": "this kind of second pass is not supported",
    "left_no_hires": "the text has no size for the second pass",
    "left_batch": "only the first image of such a batch can be repeated",
    "left_unread": "could not be followed to a text",
    "left_node": "this node is not supported",
    "left_extension": "the extension {name} is not supported",
    "left_program": "this setting of {name} is not supported",
    "left_option": "this option is not supported",
    "left_unknown": "unknown to this bot",
    "no_model": "the text names no model, so the default model is used",
    "no_size": "the text has no size, so the model’s own is used",
    "no_effect": "changes nothing with its value: {names}",
    "only_information": "only information, not part of the image: {names}",
    "from_comfyui": "{name} weighs words, numbers the seeds of a batch and draws ancestral noise "
    "differently, so the image is similar, not the same",
    "from_fooocus": "{name} weighs words, sharpens and draws noise differently, so the image is "
    "similar, not the same",
    "from_invokeai": "{name} weighs words and draws the noise of later steps differently, so the "
    "image is similar, not the same",
    "from_novelai": "{name} has models and weights of its own, so the image is another one",
    "from_easy_diffusion": "{name} draws its noise differently, so the image is similar, not the "
    "same",
    "from_draw_things": "{name} makes noise of a seed differently, so the image is similar, not "
    "the same",
    "choices_unclosed": "a choice in braces is never closed, so all choices stand as written",
    "choices_too_deep": "the choices are too deep inside each other, so they stand as written",
    "denoising_unused": "denoising strength counts with a start image only",
    "one_picture_a_cell": "a sheet has one picture a cell; the count was left out",
    "enlarged_instead": "{name} draws badly over {limit} pixels a side, so pixels were enlarged",
    "beyond_largest": "{name} draws badly over {limit} pixels a side; enlarge it afterwards",
    "varies_the_seed": "a variation varies the seed's picture, not another variation of it",
    "first_frame": "only the first frame of the animated picture is used",
    "network_ambiguous": "{name} is the name of several LoRAs: {names}; write one of these",
    "network_family": "the LoRA {name} is for {fits} models, not {needs}, and was left out",
    "network_weight": "the LoRA {name} was left out: its weight {value} is beyond {limit}",
    "network_blocks": "the block weights “{text}” of the LoRA {name} were left out",
    "networks_many": "only the first {limit} LoRAs of a prompt are used",
    "lora_triggers": "the LoRA {name} was trained with words that the prompt lacks: {words}",
    "network_partly": "{out} of the {whole} layers of the LoRA {name} do not fit and were left out",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A key of :data:`NOTES` and the ``values`` of its placeholders; a tuple is a list."""

    key: str
    values: tuple[tuple[str, str | tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, key: str, **values: object) -> Note:
        """Make a note: ``Note.of("long_prompt", which="prompt", tokens=90, chunks=2)``."""
        return cls(key, tuple((name, _words(value)) for name, value in values.items()))

    def __str__(self) -> str:
        shown = {
            name: value if isinstance(value, str) else ", ".join(value)
            for name, value in self.values
        }
        return NOTES[self.key].format(**shown)


def _words(value: object) -> str | tuple[str, ...]:
    # Notes are stored as JSON, which has lists for tuples.
    return tuple(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
