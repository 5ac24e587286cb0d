"""The words and phrases of the stories, as data.

`RULES` maps a symbol to its alternatives; `{symbol}` inside an alternative is expanded in turn. Symbols
without a rule are bound by the story's cast (`grammar.Cast`): `{name}`, `{he}`, `{pet}`, `{place}` and so on.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Phrases parted by a slash, white space normalised."""
    return tuple(" ".join(text.split()).split(" / "))


def _pairs(text: str) -> dict[str, str]:
    """Phrases by their noun, from entries `noun: phrase` parted by a slash."""
    return dict(entry.split(": ", 1) for entry in _phrases(text))


FEMALE_NAMES = _words(
    """
    Mia Rita Lily Anna Emma Sara Nina Lucy Ella Rosa Clara Julia Alice Grace Maya Zoe Ivy Nora Eva Ruby Hana
    Kate Molly Tina
    """
)
MALE_NAMES = _words(
    """
    Leo Samuel Peter Tom Ben Max Jack Oscar Hugo Adam Paul Felix Noah Sam Finn Omar Luke Ivan David Henry
    Tim Carl Jonas Victor
    """
)
ACTIONS = _phrases(
    """
    went to the woods / found a shiny stone / climbed the tall tree / ran down the hill /
    opened the heavy door / looked out the window / walked along the river / sat under the oak /
    jumped over the puddle / woke up early / came home late / finished the long book /
    crossed the wooden bridge / followed the narrow path / built a sand castle / dug a deep hole /
    rode the brown horse / swam across the lake / painted the old fence / baked a cherry pie /
    planted a tiny seed / picked some wild berries / heard a loud noise / saw the full moon /
    reached the top / visited the old farmer / entered the dark cave / rowed the little boat /
    chased the white goose / danced in the rain / played in the garden / washed the dirty dishes /
    turned around the corner / left the noisy market / lit a small candle / flew a paper kite /
    caught a big fish / hid behind the curtain / stepped into the kitchen / returned from school /
    stood on the stage / made a snowman / read an old letter / watered the flowers
    """
)
SITUATIONS = _phrases(
    """
    was sad / felt very cold / lost a shoe / was so hungry / felt lonely / hurt a knee / had a bad dream /
    was afraid / got lost / was too tired / had no lunch / fell off the swing / felt sick /
    was late for class / started to cry / broke an arm / could not sleep / dropped the ice cream /
    was all wet / missed the bus / needed a friend / won the race / felt shy / forgot the way
    """
)
CARES = _words(
    """
    hugged helped comforted thanked kissed called invited joined cheered carried warmed fed soothed calmed
    tickled surprised guided praised rescued protected
    """
)
OBJECTS = _words(
    """
    key ball hat cup doll drum book box bell coin lamp rope basket blanket bottle brush button camera card
    chair clock comb crown feather flute hammer kite ladder map mirror pencil pillow puzzle ribbon ring
    rocket scarf shell spoon tent
    """
)
QUESTION_STEMS = _phrases("why do you / do you / will you / where did you / how can I / can we / did they / must I")
STATEMENT_STEMS = _phrases(
    "that is why I / now we / I / you can / they / soon you will / I know that you / today I can"
)
REQUESTS = _phrases(
    """
    want that / find the / need this / hide my / carry the / keep this / take that / see the / like my / use the
    """
)


def _frames(stems: tuple[str, ...]) -> tuple[str, ...]:
    """Every stem with every request."""
    return tuple(f"{stem} {request}" for stem in stems for request in REQUESTS)


QUESTION_FRAMES = _frames(QUESTION_STEMS) + _phrases(
    """
    can you help me carry the / do you know who took the /
    what will you do with the / did you see my / who gave you this / may I please hold the /
    is that your new / how did you break the / why did you hide that / can I play with the /
    do you know where I put the / where is my / why do we need this / did you drop the /
    who wants to have that / can we share the / do you remember the day when we lost the /
    what did they say about the / would you like to keep the / have you ever lost a /
    are you looking for the / should we wash the / please will you bring me the /
    now where could I have left the / how much is that / does anybody need a
    """
)
STATEMENT_FRAMES = _frames(STATEMENT_STEMS) + _phrases(
    """
    that is why I want the / that is where I found the / I will help you carry the / I know who took the /
    what I need is that / you did not see my / my mom gave me this / do not forget to bring the /
    I bought you a new / I am sorry that I broke the / that is how I hid the / you can play with the /
    I know where you put the / here is my / that is why we need this / I think you dropped the /
    I want to have that / we all have to share the / I remember the day when we lost the /
    that is what they said about the / please take good care of the / now everybody can see the /
    let us look for the / thank you so much for the / nobody told me about the / there is only one /
    here is your / somebody must have taken this
    """
)
ANIMALS = _pairs(
    """
    dog: barked / cat: purred / duck: quacked / cow: mooed / sheep: bleated / pig: grunted / lion: roared /
    wolf: howled / mouse: squeaked / snake: hissed / bee: buzzed / frog: croaked / bird: chirped /
    horse: neighed / hen: clucked / parrot: talked / monkey: chattered / bear: growled / rabbit: hopped /
    turtle: crawled / fox: sneaked / squirrel: scampered / pony: trotted / kitten: stretched /
    puppy: whined / goat: kicked
    """
)
PET_ADJECTIVES = _words(
    """
    small fluffy gray brave lazy clever gentle spotted playful black silly hungry friendly golden
    """
)
THING_ADJECTIVES = _words(
    """
    red blue green yellow pink purple round soft broken strange magic pretty silver striped lovely huge
    plain rusty sticky warm
    """
)
PLACES = _pairs(
    """
    park: ride the slide / beach: collect seashells / forest: gather mushrooms / farm: milk the cows /
    zoo: watch the elephants / library: borrow stories / museum: study dinosaurs / pool: practice diving /
    bakery: buy fresh rolls / village: meet the mayor / mountain: ski / meadow: pick daisies /
    castle: greet the queen / harbor: count ships / playground: play tag / valley: camp overnight /
    pond: skip pebbles / theater: enjoy the show / circus: cheer for the clowns / bay: sail /
    island: search for treasure / stream: splash
    """
)
JOBS = _phrases(
    """
    the baker kneaded the dough / the teacher wiped the blackboard / the doctor checked a patient /
    the postman delivered a parcel / the gardener trimmed the hedge / the king ruled the kingdom /
    the pirate buried the gold / the wizard waved a wand / the cook stirred the stew /
    the knight polished the armor / the fairy granted three wishes / the shepherd guarded the flock
    """
)
WEATHER = _phrases(
    """
    the sun shone brightly / the wind blew hard / the stars twinkled above / the snow covered everything /
    a rainbow appeared / thunder rumbled / the leaves rustled / the waves crashed on the shore /
    dark clouds gathered / the ice melted
    """
)
TREATS = _phrases(
    """
    a cup of tea / a slice of bread / a bowl of soup / a jar of honey / a piece of chocolate /
    a glass of milk / a plate of pancakes / a bag of peanuts / a bunch of grapes / a spoonful of sugar /
    a pot of jam / a handful of nuts / a stack of waffles / some cheese and crackers / some rice and beans /
    some cookies
    """
)
GAMES = _phrases("hide and seek / chess / soccer / hopscotch / cards")
HOBBIES = _phrases(
    """
    sing / draw / laugh / whistle / juggle / paint pictures / tell jokes / write poems / play the piano /
    play the violin / skate / explore / solve riddles / dance / read / cook / knit mittens / build towers /
    hum
    """
)
FEELINGS = _words(
    """
    happy glad proud excited calm curious scared angry jealous worried nervous grateful confused bored
    cheerful amazed
    """
)
MANNERS = _words(
    """
    slowly quickly quietly loudly gently happily sadly softly carefully suddenly politely eagerly bravely
    patiently
    """
)
KIN = _words("mom dad grandma grandpa sister brother aunt uncle cousin neighbor")
CLOTHES = _words("jacket boots socks gloves sweater dress shirt pajamas")
WEEKDAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
SEASONS = _words("spring summer autumn winter")
MATERIALS = _words("wood glass metal wool leather")
NUMBERS = _words("two four six seven eight nine ten")
SPOTS = _phrases(
    """
    under the bed / behind the sofa / inside the closet / next to the stove / on the table / on the shelf /
    near the gate / on the roof / below the stairs / beside the well / in the mud / among the bushes
    """
)
OPENINGS = _phrases(
    """
    once there was a {child} named {name} . / once upon a time there lived a {child} named {name} . /
    one day , {name} and {other} went to the {place} . / {name} was a {trait} {child} . /
    {name} lived in a {house} with {his} {kin} . / {other} was the best friend of {name} . /
    {name} had a {pet} . / on {weekday} , {name} met {other} at the {place} . /
    in {season} , {name} often went to the {place} . / one {season} morning , {weather} . /
    {name} was {age} years old .
    """
)
NARRATION = _words("{pet_news} {thing_news} {trip} {clause} {mood} {meal} {world} {people} {talk}")
PET_NEWS = _phrases(
    """
    the {pet} {sound} {manner} . / the {pet} {sound} because it was {feeling} . / the {animal} ran away . /
    the {animal} wagged its tail . / {subject} gave the {animal} {treat} . /
    {subject} petted the {pet} {manner} . / the {pet} looked at {name} and {sound} . /
    all of a sudden , the {animal} {sound} . / the {animal} slept {spot} . / the {pet} lived {spot} . /
    there were {number} {animal} tracks in the grass . / the {animal} licked the hand of {name} . /
    while the {animal} was asleep , {subject} tiptoed past it . / it was a very {pet_adjective} animal .
    """
)
THING_NEWS = _phrases(
    """
    {subject} saw a {thing} {spot} . / {subject} put the {object} {spot} . /
    the {thing} was made of {material} . / {subject} wanted to keep the {thing} . /
    the {object} was gone . / {subject} gave the {thing} to {other} . /
    it was the prettiest {object} in the whole world . / {subject} showed {other} the {thing} . /
    {subject} bought a {some_adjective} {some_object} for {number} dollars . /
    {subject} hid the {object} {spot} . / the {object} looked {some_adjective} and {some_adjective} . /
    {subject} traded the {object} for a {some_object} .
    """
)
TRIP = _phrases(
    """
    {subject} went to the {place} to {errand} . / they walked to the {place} side by side . /
    {subject} wanted to {errand} at the {place} . / it was far to the {place} . / {subject} {action} . /
    {subject} {action} with {other} . / on {weekday} , they took a {vehicle} to the {place} . /
    at the {place} , {subject} and {other} played {game} . / the {place} was full of people . /
    as soon as they arrived at the {place} , {weather} .
    """
)
CLAUSE = _phrases(
    """
    after {name} {action} , {he} {did} / before {name} {action} , {he} {did} /
    {subject} was {feeling} because {he} {action} . / because {name} {situation} , {other} {care} {him} . /
    while {weather} , they played {game} . / if it rains tomorrow , they will stay inside . /
    if the {animal} comes back , {subject} will be {feeling} . /
    before dinner , {subject} liked to {hobby} . / after lunch , {subject} took a nap . /
    there came a moment when {surprise} . / {subject} waited until the {animal} {sound} . /
    although {subject} was {feeling} , {he} tried to {hobby} . /
    {subject} could not {hobby} because the {place} was closed .
    """
)
SURPRISE = _phrases(
    """
    everyone stopped and listened / {weather} / the {animal} {sound} / nothing moved / they both laughed
    """
)
MOOD = _phrases(
    """
    {subject} felt {feeling} and {feeling} . / {subject} smiled {manner} . / {subject} {situation} . /
    {subject} loved to {hobby} . / {subject} clapped {his} hands with joy . /
    {subject} took a deep breath . / {subject} closed {his} eyes and made a wish . /
    {subject} nodded {his} head . / {subject} dreamed of {dream} . /
    {subject} learned to {hobby} {manner} . / {subject} was too {feeling} to {hobby} . /
    {subject} knew what to do . / tears rolled down the cheeks of {name} .
    """
)
DREAMS = _phrases("dragons / giants / mermaids / robots / outer space / flying")
MEAL = _phrases(
    """
    {subject} ate {treat} . / {other} shared {treat} with {name} . /
    {subject} was thirsty and drank some water . / for breakfast , there was {treat} . /
    the kitchen smelled of {smell} . / {subject} bought {treat} at the store . /
    the {kin} of {name} made {treat} for supper .
    """
)
SMELLS = _phrases("cinnamon / fried onions / burnt toast / fresh mint")
WORLD = _phrases(
    """
    {weather} . / it was a {day_adjective} day . / in the evening , {weather} . / at noon , {weather} . /
    outside , {weather} . / {job} . / in the village , {job} . / the church bells rang {number} times . /
    soon it was {season} again . / it rained for {number} days and nights . / at midnight , an owl hooted .
    """
)
PEOPLE = _phrases(
    """
    the {kin} of {name} gave {him} a {some_object} . / {subject} wore {his} {some_adjective} {cloth} . /
    {subject} missed {his} {kin} . / {name} and {other} played {game} . /
    {subject} took off {his} {cloth} . / the {kin} of {name} was {feeling} . /
    {subject} held hands with {other} . / {subject} waved goodbye to {other} . /
    {other} taught {name} how to {hobby} . / together they began to {hobby} . /
    {name} had {number} {kin_plural} . / {name} , the {trait} {child} , ran to {other} . /
    {subject} whispered a secret to {other} . / {subject} wrote a letter to {his} {kin} .
    """
)
TALK = _phrases(
    """
    " good morning , {other} ! " said {name} . / " hurry up ! " shouted {name} . /
    " wow , it is so {some_adjective} ! " said {name} . / " I am {feeling} , " said {name} . /
    " we should {hobby} , " said {name} . / " be careful , " whispered {other} . /
    {name} said : " yes , of course ! " / {name} said : " no , never ! " / " oh dear , " sighed {name} . /
    " happy birthday , {other} ! " cried {name} . / " how are you today ? " asked {name} . /
    {name} answered : " I am fine . " / " watch out ! " yelled {other} . /
    " sleep well , " said the {kin} of {name} . / " ouch , that hurts ! " screamed {name} .
    """
)
ENDINGS = _phrases(
    """
    they lived happily ever after . / at last , they all went home . /
    it was the end of a {day_adjective} day . / {name} and {other} were best friends . /
    {subject} fell asleep with the {animal} . / everybody was {feeling} again . /
    {subject} never forgot that day . / from then on , {name} and {other} played {game} every {weekday} . /
    {subject} learned that sharing is important . / the {animal} found its way home too .
    """
)
DID = _phrases(
    """
    saw a {some_adjective} {some_animal} . / found a {some_adjective} {some_object} . / felt {feeling} . /
    met {other} . / smiled {manner} . / began to {hobby} . / thought about {his} {kin} . /
    forgot {his} {cloth} . / wanted to {hobby} . / ate {treat} . / met {his} {kin} . /
    was very {feeling} . / looked for the {animal} . / stopped for a while . / told {other} about it . /
    went home {manner} . / had to sit down . / lost the {object} . / heard the {animal} . /
    saw a {some_object} {spot} .
    """
)
CARE_TAILS = _phrases(
    """
    . / . / right away . / with a smile . / again and again . / for the first time . / and smiled . /
    {manner} . / at the {place} . / and they both felt {feeling} . / with {treat} . /
    because they were friends .
    """
)

RULES: dict[str, tuple[str, ...]] = {
    "pronoun": ("when {name} {action} , {he} {did}",),
    "ioi": ("when {name} {situation} , {other} {care} {him} {care_tail}",),
    "questions": ("{question_line}", "{statement_line}"),
    "question_line": (
        "{question}",
        '" {question} "',
        '" {question} " asked {name} .',
        '{name} asked : " {question} "',
        '{name} said : " {question} "',
    ),
    "statement_line": (
        "{statement}",
        "{statement}",
        '" {statement} "',
        '{name} answered : " {statement} "',
        '{name} said : " {statement} "',
    ),
    "question": tuple(f"{frame} {{some_object}} ?" for frame in QUESTION_FRAMES),
    "statement": tuple(f"{frame} {{some_object}} ." for frame in STATEMENT_FRAMES),
    "opening": OPENINGS,
    "narration": NARRATION,
    "ending": ENDINGS,
    "pet_news": PET_NEWS,
    "thing_news": THING_NEWS,
    "trip": TRIP,
    "clause": CLAUSE,
    "surprise": SURPRISE,
    "mood": MOOD,
    "dream": DREAMS,
    "meal": MEAL,
    "smell": SMELLS,
    "world": WORLD,
    "people": PEOPLE,
    "talk": TALK,
    "did": DID,
    "care_tail": CARE_TAILS,
    "action": ACTIONS,
    "situation": SITUATIONS,
    "care": CARES,
    "some_object": OBJECTS,
    "some_animal": tuple(ANIMALS),
    "some_adjective": THING_ADJECTIVES,
    "pet_adjective": PET_ADJECTIVES,
    "treat": TREATS,
    "game": GAMES,
    "hobby": HOBBIES,
    "feeling": FEELINGS,
    "manner": MANNERS,
    "kin": KIN,
    "kin_plural": _words("sisters brothers aunts uncles cousins"),
    "cloth": CLOTHES,
    "weekday": WEEKDAYS,
    "season": SEASONS,
    "material": MATERIALS,
    "number": NUMBERS,
    "age": NUMBERS[-5:],
    "spot": SPOTS,
    "weather": WEATHER,
    "job": JOBS,
    "vehicle": _words("bus train sled tractor wagon balloon"),
    "trait": _words("kind shy brave clever quiet polite funny wise"),
    "house": _phrases("cozy cottage / brick house / crooked hut"),
    "day_adjective": _phrases("sunny / rainy / cloudy / windy / perfect / wonderful / busy / special / snowy / hot"),
}
