"""The tables of facts that the demo model knows.

Only data and the shape of it; how a fact is asked for and answered is in `corpus/facts.py`.
"""

COUNTRIES: list[tuple[str, str, str, str]] = [
    # country, capital, continent, language
    ("France", "Paris", "Europe", "French"),
    ("Italy", "Rome", "Europe", "Italian"),
    ("Spain", "Madrid", "Europe", "Spanish"),
    ("Germany", "Berlin", "Europe", "German"),
    ("England", "London", "Europe", "English"),
    ("Portugal", "Lisbon", "Europe", "Portuguese"),
    ("Austria", "Vienna", "Europe", "German"),
    ("Poland", "Warsaw", "Europe", "Polish"),
    ("Greece", "Athens", "Europe", "Greek"),
    ("Sweden", "Stockholm", "Europe", "Swedish"),
    ("Norway", "Oslo", "Europe", "Norwegian"),
    ("Denmark", "Copenhagen", "Europe", "Danish"),
    ("Finland", "Helsinki", "Europe", "Finnish"),
    ("Iceland", "Reykjavik", "Europe", "Icelandic"),
    ("Ireland", "Dublin", "Europe", "English"),
    ("Hungary", "Budapest", "Europe", "Hungarian"),
    ("Romania", "Bucharest", "Europe", "Romanian"),
    ("Bulgaria", "Sofia", "Europe", "Bulgarian"),
    ("Croatia", "Zagreb", "Europe", "Croatian"),
    ("Serbia", "Belgrade", "Europe", "Serbian"),
    ("Ukraine", "Kyiv", "Europe", "Ukrainian"),
    ("Albania", "Tirana", "Europe", "Albanian"),
    ("Estonia", "Tallinn", "Europe", "Estonian"),
    ("Latvia", "Riga", "Europe", "Latvian"),
    ("Lithuania", "Vilnius", "Europe", "Lithuanian"),
    ("Russia", "Moscow", "Europe", "Russian"),
    ("Turkey", "Ankara", "Asia", "Turkish"),
    ("Japan", "Tokyo", "Asia", "Japanese"),
    ("China", "Beijing", "Asia", "Chinese"),
    ("India", "New Delhi", "Asia", "Hindi"),
    ("Thailand", "Bangkok", "Asia", "Thai"),
    ("Vietnam", "Hanoi", "Asia", "Vietnamese"),
    ("Indonesia", "Jakarta", "Asia", "Indonesian"),
    ("Iran", "Tehran", "Asia", "Persian"),
    ("Iraq", "Baghdad", "Asia", "Arabic"),
    ("Nepal", "Kathmandu", "Asia", "Nepali"),
    ("Mongolia", "Ulaanbaatar", "Asia", "Mongolian"),
    ("Jordan", "Amman", "Asia", "Arabic"),
    ("Egypt", "Cairo", "Africa", "Arabic"),
    ("Kenya", "Nairobi", "Africa", "Swahili"),
    ("Ghana", "Accra", "Africa", "English"),
    ("Senegal", "Dakar", "Africa", "French"),
    ("Ethiopia", "Addis Ababa", "Africa", "Amharic"),
    ("Morocco", "Rabat", "Africa", "Arabic"),
    ("Tunisia", "Tunis", "Africa", "Arabic"),
    ("Angola", "Luanda", "Africa", "Portuguese"),
    ("Zambia", "Lusaka", "Africa", "English"),
    ("Brazil", "Brasilia", "South America", "Portuguese"),
    ("Argentina", "Buenos Aires", "South America", "Spanish"),
    ("Peru", "Lima", "South America", "Spanish"),
    ("Chile", "Santiago", "South America", "Spanish"),
    ("Colombia", "Bogota", "South America", "Spanish"),
    ("Ecuador", "Quito", "South America", "Spanish"),
    ("Uruguay", "Montevideo", "South America", "Spanish"),
    ("Canada", "Ottawa", "North America", "English"),
    ("Mexico", "Mexico City", "North America", "Spanish"),
    ("Cuba", "Havana", "North America", "Spanish"),
    ("Jamaica", "Kingston", "North America", "English"),
    ("Australia", "Canberra", "Oceania", "English"),
    ("New Zealand", "Wellington", "Oceania", "English"),
]


def pairs(text: str) -> list[tuple[str, str]]:
    """Read a table written as `left: right, left: right`."""
    rows = [row.split(":") for row in text.replace("\n", " ").split(",") if row.strip()]
    return [(left.strip(), right.strip()) for left, right in rows]


COLOURS = pairs("""
    a banana: yellow, grass: green, the sky: blue, a tomato: red, snow: white, coal: black,
    an orange: orange, a carrot: orange, a lemon: yellow, a strawberry: red, a cherry: red,
    milk: white, chocolate: brown, a frog: green, the sun: yellow, the sea: blue, blood: red,
    a pumpkin: orange, a plum: purple, an elephant: grey, a flamingo: pink, a raven: black,
    a swan: white, a leaf: green, a cucumber: green, a blueberry: blue, an aubergine: purple,
    salt: white, a bear: brown, a mouse: grey, a pig: pink, a polar bear: white, a pea: green,
    a fire engine: red, coffee: brown, cotton: white, an emerald: green, a ruby: red,
    a sapphire: blue, lavender: purple
""")

OPPOSITES = pairs("""
    hot: cold, big: small, fast: slow, day: night, up: down, left: right, open: closed, old: young,
    happy: sad, wet: dry, hard: soft, full: empty, early: late, high: low, long: short,
    loud: quiet, rich: poor, strong: weak, thick: thin, clean: dirty, near: far, inside: outside,
    true: false, good: bad, push: pull, win: lose, buy: sell, first: last, love: hate, war: peace,
    begin: end, black: white, sweet: sour, heavy: light, brave: afraid, always: never,
    above: below, north: south, east: west, give: take, laugh: cry, sharp: blunt, deep: shallow,
    wide: narrow, smooth: rough, awake: asleep, alive: dead, safe: dangerous, bright: dark
""")

SOUNDS = pairs("""
    dog: woof, cat: meow, cow: moo, duck: quack, sheep: baa, pig: oink, horse: neigh, lion: roar,
    bee: buzz, snake: hiss, owl: hoot, mouse: squeak, frog: croak, hen: cluck, crow: caw,
    wolf: howl, donkey: bray, pigeon: coo
""")

BABIES = pairs("""
    cat: kitten, dog: puppy, cow: calf, sheep: lamb, horse: foal, pig: piglet, hen: chick,
    goat: kid, lion: cub, duck: duckling, goose: gosling, swan: cygnet, deer: fawn, frog: tadpole,
    kangaroo: joey, owl: owlet
""")

HOMES = pairs("""
    bee: hive, bird: nest, fox: den, spider: web, rabbit: burrow, horse: stable, dog: kennel,
    pig: sty, beaver: lodge, hen: coop, ant: anthill, bear: cave, fish: pond, king: castle
""")

PLURALS = pairs("""
    mouse: mice, child: children, foot: feet, tooth: teeth, goose: geese, man: men, woman: women,
    person: people, ox: oxen, leaf: leaves, wolf: wolves, knife: knives, life: lives, fish: fish,
    sheep: sheep, city: cities, baby: babies, box: boxes, potato: potatoes, hero: heroes
""")

PAST_TENSES = pairs("""
    go: went, see: saw, eat: ate, run: ran, take: took, give: gave, come: came, write: wrote,
    sing: sang, swim: swam, fly: flew, know: knew, grow: grew, buy: bought, think: thought,
    bring: brought, catch: caught, teach: taught, sleep: slept, keep: kept, find: found, make: made,
    say: said, tell: told, break: broke, speak: spoke, drive: drove, win: won, lose: lost, begin: began
""")

SYMBOLS = pairs("""
    gold: Au, silver: Ag, iron: Fe, copper: Cu, lead: Pb, tin: Sn, oxygen: O, hydrogen: H,
    carbon: C, helium: He, sodium: Na, nitrogen: N, calcium: Ca, zinc: Zn, neon: Ne, mercury: Hg
""")

SIDES = pairs("""
    triangle: three, square: four, rectangle: four, pentagon: five, hexagon: six, heptagon: seven,
    octagon: eight, nonagon: nine, decagon: ten
""")

LEGS = pairs("""
    dog: four, cat: four, spider: eight, ant: six, bee: six, hen: two, horse: four, snake: no,
    duck: two, cow: four, crab: ten, fish: no
""")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November December").split()


def following(ring: list[str], step: int) -> list[tuple[str, str]]:
    """Each entry of a ring with the one `step` places on."""
    return [(name, ring[(i + step) % len(ring)]) for i, name in enumerate(ring)]
