"""What the demo world is made of: things with an emoji each, backgrounds, and the words on signs.

A concept has a one-word English name, a category, the main color of its emoji and a trait (what
people associate with it). All four are words that are true of every patch the thing covers.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
dog 🐕 animal white pet | cat 🐈 animal orange pet | lion 🦁 animal yellow wild
elephant 🐘 animal gray wild | giraffe 🦒 animal yellow wild | frog 🐸 animal green pond
owl 🦉 animal brown bird | fish 🐟 animal blue sea | whale 🐳 animal blue sea
horse 🐎 animal brown farm | cow 🐄 animal white farm | pig 🐖 animal pink farm
rabbit 🐇 animal gray pet | bear 🐻 animal brown wild | monkey 🐒 animal brown wild
panda 🐼 animal white wild | penguin 🐧 animal black bird | duck 🦆 animal green bird
turtle 🐢 animal green sea | crab 🦀 animal red sea | butterfly 🦋 animal orange insect
bee 🐝 animal yellow insect | snail 🐌 animal brown garden | octopus 🐙 animal pink sea
snake 🐍 animal green wild | zebra 🦓 animal black wild | fox 🦊 animal orange wild
koala 🐨 animal gray wild | chicken 🐔 animal white bird
tree 🌳 plant green garden | flower 🌸 plant pink garden | cactus 🌵 plant green desert
mushroom 🍄 plant red forest | palm 🌴 plant green beach | rose 🌹 plant red garden
apple 🍎 food red fruit | banana 🍌 food yellow fruit | grapes 🍇 food purple fruit
strawberry 🍓 food red fruit | pizza 🍕 food yellow meal | bread 🍞 food brown meal
cheese 🧀 food yellow meal | burger 🍔 food brown meal | cake 🎂 food pink sweet
coffee ☕ food white drink | watermelon 🍉 food red fruit | carrot 🥕 food orange vegetable
corn 🌽 food yellow vegetable | donut 🍩 food brown sweet | cookie 🍪 food brown sweet
pineapple 🍍 food yellow fruit | lemon 🍋 food yellow fruit
car 🚗 vehicle red road | bus 🚌 vehicle blue road | taxi 🚕 vehicle yellow road
truck 🚚 vehicle white road | bicycle 🚲 vehicle blue road | train 🚂 vehicle black rails
rocket 🚀 vehicle white space | boat ⛵ vehicle red sea | tractor 🚜 vehicle green farm
helicopter 🚁 vehicle yellow air
house 🏠 building brown home | castle 🏰 building gray king | church ⛪ building white prayer
tent ⛺ building orange camp
guitar 🎸 instrument red strings | drum 🥁 instrument red rhythm
trumpet 🎺 instrument yellow brass | violin 🎻 instrument brown strings
piano 🎹 instrument black keys
camera 📷 device black photo | phone 📱 device black call | clock ⏰ device red time
television 📺 device blue movie | computer 💻 device gray work
pencil ✏ tool yellow school | scissors ✂ tool red paper | key 🔑 tool yellow door
lock 🔒 tool yellow door | hammer 🔨 tool gray nail | bell 🔔 tool yellow sound
bulb 💡 tool yellow light | book 📕 tool red school
chair 🪑 furniture brown home | bed 🛏 furniture brown sleep
shoe 👟 clothing blue foot | hat 🎩 clothing black head | shirt 👕 clothing blue body
glasses 👓 clothing brown eyes | umbrella ☂ clothing purple rain | crown 👑 clothing yellow king
sun ☀ weather yellow day | moon 🌙 weather yellow night | star ⭐ weather yellow night
cloud ☁ weather white rain | rainbow 🌈 weather red rain
ball ⚽ toy white sport | balloon 🎈 toy red party | robot 🤖 toy gray metal
kite 🪁 toy purple air
fire 🔥 symbol orange hot | snowman ⛄ symbol white winter | ghost 👻 symbol white night
heart ❤ symbol red love | gift 🎁 symbol yellow party | anchor ⚓ symbol blue sea
"""


@dataclass(frozen=True)
class Concept:
    """One kind of thing; every field but `emoji` is a single lowercase word."""

    name: str
    emoji: str
    category: str
    color: str
    trait: str

    @property
    def words(self) -> frozenset[str]:
        """The words that are true of a patch that shows this thing."""
        return frozenset({self.name, self.category, self.color, self.trait})


CONCEPTS: dict[str, Concept] = {
    entry.split()[0]: Concept(*entry.split())
    for entry in _TABLE.replace("\n", "|").split("|")
    if entry.strip()
}
CATEGORIES = sorted({c.category for c in CONCEPTS.values()})
COLORS = sorted({c.color for c in CONCEPTS.values()})
TRAITS = sorted({c.trait for c in CONCEPTS.values()})

BACKGROUNDS = ("sky", "grass", "sand", "brick", "water", "snow")

# The word on a sign -> the kind of word that it is.
SIGN_WORDS: dict[str, str] = {
    word: kind
    for kind, words in {
        "command": "stop go wait turn push",
        "place": "cafe zoo bank park hotel",
        "product": "milk tea rice soup salt",
        "number": "7 42 10 365 88",
        "greeting": "hello bye welcome thanks hi",
        "direction": "north south east west exit",
        "warning": "danger caution poison slow closed",
        "offer": "sale free cheap new best",
    }.items()
    for word in words.split()
}

# Where a thing is: the ninth of the image that holds its center.
POSITIONS = (
    ("top-left", "top", "top-right"),
    ("left", "center", "right"),
    ("bottom-left", "bottom", "bottom-right"),
)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
