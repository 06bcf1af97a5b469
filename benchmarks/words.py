"""The words that prompts are made of. Any real vocabulary has most of them whole; a rare one takes two tokens."""

from __future__ import annotations

from random import Random

WORDS = """
a about above across after again against air all almost alone along already also always among an and animal another
answer any are area as ask at away back be became because become been before began behind being below best better
between big black blue boat body book both box boy bring brought build but by call came can car care carry center
change children city class clear close cold color come common complete could country course cross cut dark day deep did
different do dog door down draw dry during each early earth east easy eat end enough even ever every example eye face
fact fall family far farm fast father feel feet few field figure final find fine fire first fish five fly follow food
foot for force form found four free friend from front full game gave get girl give go gold good got govern great green
ground group grow had half hand happen hard has have he head hear heard heat help her here high him his hold home horse
hot hour house how hundred I idea if in inch into is island it just keep kind king knew know land language large last
late laugh lay lead learn leave left less let letter life light like line list listen little live long look low made
main make man many map mark may me mean measure men might mile mind minute miss money moon more morning most mother
mountain move much music must my name near need never new next night no north nothing notice noun now number object of
off often old on once one only open or order other our out over own page paper part pass people perhaps person picture
piece place plain plan plane plant play point possible pound power press problem produce product pull put question quick
rain ran reach read ready real record red remember rest right river road rock room round rule run said same saw say
school science sea second see seem self sentence serve set several shape she ship short should show side simple since
sing sit six size sleep slow small snow so some song soon sound south space special spell stand star start state stay
step still stood stop story street strong study such sun sure surface table tail take talk teach tell ten than that the
their them then there these they thing think this those though thought thousand three through time to today together
told too took top toward town travel tree true try turn two under unit until up us use usual very voice vowel wait walk
want war warm was watch water way we week weight well went were west what wheel when where which while white who whole
why will wind with wonder wood word work world would write year yes yet you young your
""".split()

RARE_SHARE = 0.22
"""Words that are two of the above run together. With a full stop per sentence, about 1.3 tokens per word."""
SENTENCE = (8, 15)
"""Words in a sentence, at least and at most."""


def prose(random: Random, n_words: int) -> str:
    """`n_words` words in sentences: no sense in it, and no two alike."""
    sentences: list[str] = []
    while n_words > 0:
        length = min(random.randint(*SENTENCE), n_words)
        n_words -= length
        sentences.append(" ".join(_word(random) for _ in range(length)) + ".")
    return " ".join(sentences)


def _word(random: Random) -> str:
    word = random.choice(WORDS)
    return word + random.choice(WORDS) if random.random() < RARE_SHARE else word
