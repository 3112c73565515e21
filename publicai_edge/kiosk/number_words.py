"""Words that are numbers, in the languages of the page that put spaces between words: "three", "tres", "три".

They are looked up whatever the language of a text, so what is a common word of another kind in one of them is left
out: English "once" is eleven in Spanish, and a Swahili "matatu" is a minibus. So are numbers of several words.
"""

_WORDS = {
    2: "two dos deux dois duas zwei два дві двох двом двома اثنان اثنين اثنتان اثنتين दो mbili wawili viwili miwili",
    3: "three tres trois três drei три трьох трьом трьома ثلاثة ثلاث तीन tatu watatu vitatu mitatu",
    4: "four cuatro quatre quatro vier чотири чотирьох чотирьом أربعة أربع चार nne wanne vinne minne",
    5: "five cinco cinq fünf п'ять п'яти خمسة خمس पाँच पांच tano watano vitano mitano",
    6: "six seis sechs шість шести ستة ست छह छः sita",
    7: "seven siete sept sete sieben сім семи سبعة سبع सात saba",
    8: "eight ocho huit oito acht вісім восьми ثمانية ثماني ثمان आठ nane wanane vinane minane",
    9: "nine nueve neuf nove neun дев'ять дев'яти تسعة تسع नौ tisa",
    10: "ten diez dix dez zehn десять десяти عشرة عشر दस kumi",
    11: "eleven onze elf одинадцять одинадцяти ग्यारह",
    12: "twelve doce douze doze zwölf дванадцять дванадцяти बारह",
    14: "fourteen catorce quatorze catorze vierzehn чотирнадцять чотирнадцяти चौदह",
    15: "fifteen quince quinze fünfzehn п'ятнадцять п'ятнадцяти पंद्रह पन्द्रह",
    20: "twenty veinte vingt vinte zwanzig двадцять двадцяти عشرون عشرين बीस ishirini",
    30: "thirty treinta trente trinta dreissig тридцять тридцяти ثلاثون ثلاثين तीस thelathini",
    40: "forty cuarenta quarante quarenta vierzig сорок сорока أربعون أربعين चालीस arobaini",
    50: "fifty cincuenta cinquante cinquenta fünfzig п'ятдесят خمسون خمسين पचास hamsini",
    60: "sixty sesenta soixante sessenta sechzig шістдесят ستون ستين साठ sitini",
}

NUMBER_WORDS = {word: str(value) for value, words in _WORDS.items() for word in words.split()}
"""Word, in lower case (``str.casefold``) and with straight apostrophes, to its number in digits."""
