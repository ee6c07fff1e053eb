"""Texts of characters: fables made by rule (the embedded default), tiny Shakespeare, or a file of one's own.

A text is cut once: its first nine tenths are trained on, the last tenth is held out. No window reaches over the cut.
"""

import contextlib
import functools
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchgan.data import mnist
from scratchgan.support.errors import DataError
from scratchgan.support.files import reading

NAMES = ("fables", "shakespeare")  # whatever else --data names is a file
SHAKESPEARE = "tinyshakespeare.txt"  # 1,115,394 characters of the plays, as Karpathy 2015 put them together
LARGEST = 10**8  # bytes of a text
TRAINED = 0.9  # of a text, its first part
STORIES = 1200  # of the fables


class Text(NamedTuple):
    """A text as whole numbers, one for each character: its place in the alphabet."""

    train: np.ndarray  # (N,), int64: the first part
    test: np.ndarray  # (M,), int64: the last part, held out
    alphabet: str  # the characters of the first part, sorted
    unknown: int = 0  # characters of the last part that the first never shows, and that were left out of `test`
    bits: float | None = None  # what a character takes to tell by whoever knows how the text was made, if anybody does

    def windows(self, length, split="train"):
        """Return every window of so many characters of one part: `Windows`. Raises DataError if it is too short."""
        codes = self.train if split == "train" else self.test
        if len(codes) < length:
            what = f"a {'training' if split == 'train' else 'held-out'} part of {len(codes):,} characters"
            raise DataError(f"This text has {what}, shorter than a window of {length}: take a longer text.")
        return Windows(codes, length, len(self.alphabet))

    def lines(self, codes):
        """Return numbers (n, L) as n strings."""
        return spelled(points(self.alphabet), codes)


class Windows:
    """All windows of a text as samples: one-hot, float32 (N, L, V), made when rows are asked for.

    In full they would take L V times the memory of the text. `Batches` asks for the rows of a batch.
    """

    dtype = np.dtype("float32")
    nbytes = math.inf  # nobody copies all of it to a device: rows are made on the host

    def __init__(self, codes, length, symbols):
        self.rows = np.lib.stride_tricks.sliding_window_view(codes, length)  # (N, L), a view
        self.shape = (*self.rows.shape, symbols)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return one_hot(self.rows[rows], self.shape[-1])

    def streams(self, count):
        """Return which windows `count` readers take, who cut the text among them, each in order: (T, count).

        A window's last character is the first of the next one: L characters to tell, each with the one before it.
        Raises DataError where the text is too short for one window each.
        """
        told = self.rows.shape[1] - 1
        steps = ((len(self) - 1) // told + 1) // count
        if not steps:
            wanted = f"{count} streams of {told + 1} characters"
            raise DataError(f"This text is too short for {wanted}: lower --batch-size, or take a longer one.")
        return told * (np.arange(steps)[:, None] + steps * np.arange(count))


def one_hot(codes, symbols):
    """Return 1 at the place of each number, 0 elsewhere: float32 (..., symbols)."""
    return np.eye(symbols, dtype=np.float32)[codes]


# ---- characters and their code points --------------------------------------------------------------------


def points(text):
    """Return the Unicode code points of a string: uint32 (n,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def spelled(letters, codes):
    """Return numbers (n, L) as n strings; letters: the code points of an alphabet."""
    rows = np.ascontiguousarray(letters[codes].astype("<u4"))
    return [row.tobytes().decode("utf-32-le", "replace") for row in rows]


def letters(settings, symbols):
    """Return the code points of the alphabet of `--data`, (symbols,), for a model to keep in its checkpoints.

    A model that is loaded brings its own. Where its text is gone, or another one now, these are zeros until then.
    """
    with contextlib.suppress(DataError):
        found = points(asked_for(settings).alphabet)
        if len(found) == symbols:
            return found
    return np.zeros(symbols, np.uint32)


# ---- which text --------------------------------------------------------------------------------------------


def asked_for(settings):
    """Return the Text that `--data` and `--data-dir` name; each is loaded once."""
    return load(settings.data, settings.data_dir or None)


@functools.lru_cache(maxsize=4)
def load(name="fables", data_dir=None):
    """Return a Text: `fables`, `shakespeare`, or that of a file in UTF-8.

    The fables need no file. They are made by rule, always the same ones, by this package, and so nobody else has a
    right to them. Tiny Shakespeare is looked for as `data_dir/text/tinyshakespeare.txt` and
    `data_dir/tinyshakespeare.txt`; without a data_dir, in `$SCRATCHGAN_DATA/text` and in the cache. The alphabet of a
    text is what occurs in its training part. What only the held-out part has is left out there, and counted.
    Raises DataError where a file is missing, is empty, is no text, or has one character only, repeated.
    """
    if name not in NAMES and not os.path.exists(os.path.expanduser(name)):
        raise DataError(f"There is no text {name}: it is none of {', '.join(NAMES)}, and no file.")
    if name == "fables":
        made, bits = fables()
        return cut(made)._replace(bits=bits)
    return cut(read(find(data_dir) if name == "shakespeare" else name), name)


def find(data_dir=None):
    """Return the path of tiny Shakespeare; raise DataError that says where it was looked for."""
    given = os.environ.get("SCRATCHGAN_DATA")
    if data_dir is not None:
        folders = [Path(os.path.expanduser(data_dir), "text"), Path(os.path.expanduser(data_dir))]
    else:
        above = [Path(os.path.expanduser(given), "text")] if given else []
        folders = [*above, mnist.cache_folder() / "text"]
    for folder in folders:
        if (folder / SHAKESPEARE).is_file():
            return folder / SHAKESPEARE
    places = " and ".join(map(str, folders))
    raise DataError(f"There is no {SHAKESPEARE} in {places}: put it there, or take --data fables, or a file.")


def read(path):
    """Return the text of a file in UTF-8, line ends as \\n; raise DataError, naming the file, where it holds none."""
    if os.path.isdir(os.path.expanduser(path)):
        raise DataError(f"--data {path} is a folder; a text is {', '.join(NAMES)}, or a file.")
    with reading(path, limit=LARGEST, error=DataError) as file:
        content = file.read()
    if not content:
        raise DataError(f"{path} is empty; a text has two characters at least.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8, from byte {error.start:,} on: convert it.") from None
    if "\0" in text:
        raise DataError(f"{path} is no text: it holds a zero byte, as programs and pictures do.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut(text, name="the text"):
    """Return a string as a Text; raise DataError if its training part has fewer than two characters to tell apart."""
    characters = points(text)
    train, test = np.split(characters, [int(TRAINED * len(characters))])
    letters, codes = np.unique(train, return_inverse=True)
    if len(letters) < 2:
        held = f"{chr(letters[0])!r} alone" if len(letters) else "no character"
        raise DataError(f"{name} shows {held} in its training part: there is nothing to learn.")
    place = np.searchsorted(letters, test).clip(max=len(letters) - 1)
    known = letters[place] == test
    (alphabet,) = spelled(letters, np.arange(len(letters))[None])
    return Text(codes.astype(np.int64), place[known].astype(np.int64), alphabet, int((~known).sum()))


# ---- fables --------------------------------------------------------------------------------------------------
#
# A fable is six sentences. Each comes from a list of patterns, and each slot of a pattern from a list of words. A slot
# keeps its word through a fable: who goes to the river comes back from the river. Such a word is known to whoever
# remembers the sentence before, and not to a Markov chain.

HEROES = """fox hen crow wolf lamb goose mouse cat dog frog owl hare snail toad goat ox mule donkey rook wren robin
mole bee ant spider cricket beetle heron stork swan otter badger stag bear lion monkey miller widow shepherd tailor
cobbler baker sailor piper thief monk judge king queen beggar"""
THINGS = """bell knife rope lamp kettle ladder bucket feather ring cheese apple pear loaf egg coin candle blanket hat
boot mirror drum fiddle key basket button needle net spoon stone shell cup wheel sack barrel hammer nail book letter
plum turnip cabbage cloak"""
PLACES = """river mill forest hill bridge well market barn garden meadow harbour island tower church village road
field orchard cave shore pond palace kitchen stable"""
MOODS = """old young proud hungry clever lazy greedy patient gentle lonely cheerful tired brave foolish honest silent
jealous thirsty careful restless polite stubborn nervous merry"""
LOOKS = """golden silver wooden broken heavy little rusty yellow crooked shiny empty painted dusty black white green
round hollow borrowed stolen"""
TIMES = """morning evening summer winter autumn spring night noon market-day sunday harvest storm"""
WENT = "went walked ran crept hurried wandered limped rode came returned"
SAID = "said cried whispered answered replied sang sighed laughed muttered shouted"
GAVE = "gave sold lent offered promised showed brought handed"
LOST = "lost dropped broke buried forgot hid burned traded"
KEPT = "kept carried polished mended guarded admired counted weighed washed"
VIRTUES = """patience pride hunger honesty silence kindness envy courage haste work friendship greed laughter wisdom
fear hope luck mercy"""
EFFECTS = "gold sleep trouble bread friends tears nothing peace wings sorrow honey dust thunder rest"
SLOTS = {name: words.split() for name, words in {
    "hero": HEROES, "other": HEROES, "third": HEROES, "thing": THINGS, "price": THINGS, "place": PLACES,
    "far": PLACES, "mood": MOODS, "mood_too": MOODS, "look": LOOKS, "look_too": LOOKS, "time": TIMES,
    "went": WENT, "went_too": WENT, "said": SAID, "said_too": SAID, "gave": GAVE, "lost": LOST, "kept": KEPT,
    "virtue": VIRTUES, "other_virtue": VIRTUES, "effect": EFFECTS, "other_effect": EFFECTS,
}.items()}  # fmt: skip
SENTENCES = [text.strip().splitlines() for text in (
    """
One {time} the {mood} {hero} {went} to the {place} with a {look} {thing}.
There was once a {mood} {hero} who {kept} a {look} {thing} near the {place}.
The {hero} had a {thing}, and it was {look}; the {other} had a {price}, and it was {look_too}.
In the {place} lived a {mood} {hero}, and in the {far} a {mood_too} {other}.
Every {time} the {mood} {hero} {kept} the {thing} by the {place}.
Before the {time} a {hero} {lost} a {look} {thing} in the {place}.
""",
    """
There the {hero} met a {mood_too} {other} and a {third}.
A {mood_too} {other} {went_too} by, on the way to the {far}.
Soon a {other} {went_too} out of the {far}, for it was {time}.
The {other} saw the {thing}, and wanted it for the {far}.
From the {far} {went_too} a {other}, as {mood_too} as a {third}.
"Who is in the {place}?" {said} the {other}.
""",
    """
"Will you give me that {thing} for my {price}?" {said} the {other}.
"My {price} is {look_too}, friend {hero}," {said} the {other}, "and your {thing} is not."
"A {hero} needs no {thing}!" {said} the {other} to the {third}.
The {other} {gave} the {hero} a {look_too} {price}.
"What is a {thing} to a {hero} without {virtue}?" {said} the {mood_too} {other}.
"Not for a {price}, and not for {effect}!" {said} the {hero}.
""",
    """
"No," {said_too} the {hero}, "I need the {thing} for the {third} in the {place}."
"Take it, {other}," {said_too} the {hero}, "but bring it back from the {far}."
"Ask the {third}," {said_too} the {mood} {hero}, and {went} away.
Then the {hero} {lost} the {price}, and the {third} {kept} it.
But the {third} had seen it all, and {went} to the {far}.
"And what is {virtue} to a {other}?" {said_too} the {hero}.
""",
    """
So the {other} {lost} the {thing}, and the {hero} {kept} the {price}.
By {time} the {other} was as {mood} as the {hero}, and the {third} as {mood_too} as both.
So the {third} took the {thing} to the {far}, and nobody saw it again.
At last the {hero} {gave} the {thing} to the {other}, and they {went} to the {place}.
That is why the {hero} never goes to the {far} without a {price}.
And the {other} had neither the {thing} nor the {price}.
""",
    """
{virtue} brings {effect}.
Nobody finds {effect} in {virtue}.
Better {virtue} with a {thing} than {other_virtue} with a {price}.
Where {virtue} sleeps, {other_virtue} eats the {price}.
{virtue} is the {hero} of the poor, and {other_virtue} the {other}.
{effect} comes from {virtue}, and {other_effect} from {other_virtue}.
""",
)]  # fmt: skip


class Slots(dict):
    """The words of one fable: a slot is filled when a pattern first asks for it, with a word that is not yet in it."""

    def __init__(self, rng):
        super().__init__()
        self.rng, self.bits = rng, 0.0

    def choose(self, choices):
        """Draw one of the choices, and count what it takes to tell which."""
        self.bits += math.log2(len(choices))
        return choices[int(self.rng.integers(len(choices)))]

    def __missing__(self, name):
        self[name] = self.choose([word for word in SLOTS[name] if word not in self.values()])
        return self[name]


def fables(stories=STORIES, seed=0):
    """Return fables as one text, and how many bits each character takes to tell by whoever knows the rules.

    No reader can do with fewer: that is the entropy of the choices that were made, in a text whose choices can be read
    off it (a few cannot, where two lists have a word in common; so it is an upper bound, and nearly the entropy).
    """
    rng, parts, bits = np.random.default_rng(seed), [], 0.0
    for _ in range(stories):
        slots = Slots(rng)
        sentences = [slots.choose(patterns).format_map(slots) for patterns in SENTENCES]
        sentences = [re.sub(r"\b([Aa]) (?=[aeiou]|honest)", r"\1n ", sentence) for sentence in sentences]  # an old hen
        sentences[-1] = sentences[-1][0].upper() + sentences[-1][1:]
        parts.append(" ".join(sentences[:-1]) + "\n" + sentences[-1] + "\n\n")
        bits += slots.bits
    text = "".join(parts)
    return text, bits / len(text)
