"Encodings: each codec's ordinary text is read right, what is not clear is refused, and every message names the place."

import bz2
import gzip
import lzma
import pickle
import random
import time
import unicodedata

import pytest

from ftkit.errors import UserError
from ftkit.files.encodings import decode

SENTENCES = {
    "fr": [
        "Le café était fermé, mais le boulanger d'à côté nous a gentiment dépannés.",
        "Très déçue par ce téléphone : l'écran s'est fissuré dès la première journée.",
        "Où sont passées les clés de la forêt ? Personne n'a su répondre à ma grand-mère.",
    ],
    "de": [
        "Die Lieferung kam drei Tage zu spät, und der Schlüssel passte überhaupt nicht.",
        "Schöne Aussicht, große Zimmer, aber das Frühstück könnte reichhaltiger sein.",
        "Wir müssen nächste Woche früh aufstehen, weil der Zug schon um fünf fährt.",
    ],
    "es": [
        "La señora de la recepción nos ayudó muchísimo con el equipaje.",
        "No volveré jamás: la habitación olía mal y el baño estaba roto.",
        "Mañana por la tarde habrá música en la plaza del corazón de la ciudad.",
    ],
    "pt": [
        "A refeição estava ótima, porém o serviço não foi tão atencioso.",
        "Não recomendo: a televisão chegou quebrada e ninguém atendeu o telefone.",
        "Amanhã vamos à praia com as crianças, se não chover na região.",
    ],
    "it": [
        "La città è bellissima, però i prezzi sono più alti di quanto pensassi.",
        "Non capisco perché il pacco non sia ancora arrivato; è già passata una settimana.",
        "Domani farà freddo, così resteremo in casa e prepareremo il caffè.",
    ],
    "sv": [
        "Maten var väldigt god, men vi fick vänta över en timme på bordet.",
        "Jag skulle gärna åka dit igen nästa sommar, så länge vädret är fint.",
        "Hunden sprang ut i trädgården och åt upp alla äpplen på marken.",
    ],
    "da": [
        "Vi købte en brugt cykel, og den kører stadig som en drøm.",
        "Maden på færgen var dårlig, og der blev ikke gjort rent på værelset.",
        "Børnene løb rundt på stranden, indtil det blev mørkt og regnen kom.",
    ],
    "nb": [
        "Vi gikk på fjellet hele dagen, og utsikten over sjøen var nydelig.",
        "Jeg skjønner ikke hvorfor døren alltid står åpen når det er så kaldt.",
        "Gjør det før frokost, ellers får du ikke være med på båten i kveld.",
    ],
    "fi": [
        "Hyvä palvelu, mutta ruoka jäähtyi ennen kuin se ehti pöytään.",
        "Tämä on paras kirja, jonka olen lukenut pitkään aikaan, enkä väsynyt siihen.",
        "Äiti lähti töihin jo ennen seitsemää, koska tiellä oli lisää lunta.",
    ],
    "nl": [
        "De patiënten waren geïnteresseerd in de nieuwe ideeën van de arts.",
        "Eén keer per week gaan we naar zee, en daarna drinken we een café crème.",
        "Het financiële beleid van de coöperatie is reëel en goed geïnformeerd.",
    ],
    "pl": [
        "Książka przyszła szybko, ale okładka była już mocno zagięta.",
        "Nie polecam tego hotelu, ponieważ łazienka była brudna, a obsługa niemiła.",
        "Jutro pójdziemy do lasu, żeby poszukać grzybów i trochę odpocząć.",
    ],
    "cs": [
        "Včera večer jsme šli na večeři a jídlo bylo opravdu výborné.",
        "Telefon přestal fungovat už po třech dnech, takže ho vrátím zpět do obchodu.",
        "Děti si hrály na zahradě, dokud nezačalo pršet a nebyla jim zima.",
    ],
    "sk": [
        "Obsluha bola milá, ale na kávu sme čakali viac než pol hodiny.",
        "Knihu som prečítal za jeden večer, pretože príbeh je veľmi napínavý.",
        "Zajtra ráno pôjdeme na výlet, ak nebude pršať a všetci sa zobudíme.",
    ],
    "hu": [
        "A szoba tiszta volt, de a fürdőszobában egész éjjel csöpögött a csap.",
        "Nagyon örülök, hogy végül ezt a könyvet választottam, mert gyönyörű történet.",
        "Holnap reggel korán indulunk, úgyhogy időben le kell feküdnünk.",
    ],
    "ro": [
        "Camera era curată, însă micul dejun a fost sărac şi cafeaua rece.",
        "Nu mai cumpăr niciodată de aici, pentru că pachetul a ajuns după trei săptămâni.",
        "Mâine dimineaţă mergem la munte împreună cu toţi prietenii noştri.",
    ],
    "hr": [
        "Hrana je bila odlična, ali smo čekali više od sat vremena.",
        "Ne mogu vjerovati da je uređaj prestao raditi već nakon tri dana.",
        "Sljedeći tjedan idemo na more, a djeca će učiti plivati i roniti.",
    ],
    "lt": [
        "Maistas buvo skanus, tačiau aptarnavimas užtruko ilgiau, nei tikėjomės.",
        "Šią knygą perskaičiau per vieną vakarą, nes istorija labai įdomi.",
        "Rytoj važiuosime prie jūros, jeigu oras bus gražus ir šiltas.",
    ],
    "lv": [
        "Ēdiens bija ļoti garšīgs, bet apkalpošana diemžēl pārāk lēna.",
        "Šī grāmata man patika vairāk nekā iepriekšējā, jo stāsts ir aizraujošs.",
        "Rīt no rīta brauksim uz jūru, ja vien nebūs stiprs vējš.",
    ],
    "et": [
        "Toit oli väga hea, kuid teenindus jättis üsna külma mulje.",
        "Ma ei mõista, miks see telefon juba kolmandal päeval töötamast lakkas.",
        "Homme sõidame mere äärde, kui ilm on ilus ja päike särab.",
    ],
    "tr": [
        "Yemekler çok güzeldi ama garsonun ilgisi yeterli değildi.",
        "Bu kitabı bir gecede okudum, çünkü hikâyesi gerçekten sürükleyiciydi.",
        "Yarın sabah erken kalkıp şehrin dışındaki köye gideceğiz.",
    ],
    "vi": [
        "Món ăn ở đây rất ngon nhưng phục vụ hơi chậm.",
        "Tôi không hiểu tại sao chiếc điện thoại này lại hỏng sau ba ngày.",
        "Ngày mai chúng tôi sẽ đi biển nếu trời không mưa.",
    ],
    "el": [
        "Το φαγητό ήταν πολύ νόστιμο, αλλά η εξυπηρέτηση άργησε αρκετά.",
        "Δεν καταλαβαίνω γιατί το κινητό χάλασε μετά από τρεις ημέρες.",
        "Αύριο το πρωί θα πάμε στη θάλασσα με όλα τα παιδιά.",
    ],
    "ru": [
        "Еда была вкусной, но официант забыл про нас на целый час.",
        "Не понимаю, почему телефон сломался уже на третий день после покупки.",
        "Завтра утром мы поедем на дачу, если не будет сильного дождя.",
    ],
    "uk": [
        "Їжа була смачною, але офіціант забув про нас на цілу годину.",
        "Не розумію, чому цей телефон зламався вже на третій день.",
        "Завтра вранці ми поїдемо до бабусі, якщо не буде сильного дощу.",
    ],
    "bg": [
        "Храната беше много вкусна, но обслужването беше твърде бавно.",
        "Не разбирам защо телефонът се счупи още на третия ден.",
        "Утре сутринта ще отидем на планина, ако времето е хубаво.",
    ],
    "sr": [
        "Храна је била одлична, али смо чекали више од сат времена.",
        "Не могу да верујем да је телефон престао да ради после три дана.",
        "Следеће недеље идемо на море, а деца ће учити да пливају.",
    ],
    "he": [
        "האוכל היה טעים מאוד אבל השירות היה איטי מדי.",
        "אני לא מבין למה הטלפון הפסיק לעבוד אחרי שלושה ימים.",
        "מחר בבוקר ניסע לים עם כל הילדים אם לא ירד גשם.",
    ],
    "ar": [
        "كان الطعام لذيذا جدا لكن الخدمة كانت بطيئة.",
        "لا أفهم لماذا توقف الهاتف عن العمل بعد ثلاثة أيام فقط.",
        "غدا صباحا سنذهب إلى البحر مع جميع الأطفال.",
    ],
    "fa": [
        "غذا بسيار خوشمزه بود ولي سرويس آنها خيلي کند بود.",
        "نمي‌دانم چرا اين گوشي بعد از سه روز خراب شد.",
        "فردا صبح با همه بچه‌ها به کنار دريا مي‌رويم.",
    ],
    "th": [
        "อาหารอร่อยมากแต่บริการช้าไปหน่อย",
        "ไม่เข้าใจว่าทำไมโทรศัพท์ถึงเสียหลังจากใช้แค่สามวัน",
        "พรุ่งนี้เช้าเราจะไปทะเลกับเด็กทุกคนถ้าฝนไม่ตก",
    ],
    "ja": [
        "料理はとても美味しかったですが、待ち時間が長すぎました。",
        "この電話は三日で壊れてしまい、サポートにも連絡がつきません。",
        "明日の朝、天気が良ければみんなで海へ行きます。",
    ],
    "zh_hans": [
        "菜很好吃，但是服务员的态度让人失望。",
        "我不明白为什么这个手机用了三天就坏了。",
        "明天早上如果不下雨，我们就带孩子们去海边。",
    ],
    "zh_hant": [
        "菜很好吃，但是服務員的態度讓人失望。",
        "我不明白為什麼這個手機用了三天就壞了。",
        "明天早上如果不下雨，我們就帶孩子們去海邊。",
    ],
    "ko": [
        "음식은 정말 맛있었지만 기다리는 시간이 너무 길었습니다.",
        "왜 이 전화기가 사흘 만에 고장 났는지 이해할 수 없습니다.",
        "내일 아침 비가 오지 않으면 아이들과 바다에 갈 예정입니다.",
    ],
}
LANGUAGES = {  # codec -> languages written in it
    "cp1252": "fr de es pt it sv da nb fi nl et",
    "latin-1": "fr de es pt it sv da nb fi nl",
    "iso8859-15": "fr de es pt it sv da nb fi nl",
    "cp850": "fr de es pt it sv da nb fi",
    "cp437": "fr de es it sv fi",
    "mac-roman": "fr de es pt it sv da nb fi",
    "cp1250": "pl cs sk hu ro hr",
    "iso8859-2": "pl cs sk hu ro hr",
    "cp852": "pl cs sk hu ro hr",
    "cp1251": "ru uk bg sr",
    "koi8-r": "ru bg",
    "koi8-u": "ru uk",
    "iso8859-5": "ru uk bg sr",
    "cp866": "ru bg",
    "mac-cyrillic": "ru uk bg sr",
    "cp1253": "el",
    "iso8859-7": "el",
    "cp737": "el",
    "cp1254": "tr",
    "iso8859-9": "tr",
    "cp857": "tr",
    "cp1255": "he",
    "iso8859-8": "he",
    "cp1256": "ar fa",
    "iso8859-6": "ar",
    "cp1257": "lt lv et",
    "iso8859-13": "lt lv",
    "cp775": "lt lv",
    "cp1258": "vi",
    "cp874": "th",
    "tis-620": "th",
    "cp932": "ja",
    "shift_jis": "ja",
    "euc_jp": "ja",
    "iso2022_jp": "ja",
    "gb18030": "zh_hans zh_hant",
    "gbk": "zh_hans",
    "gb2312": "zh_hans",
    "big5": "zh_hant",
    "cp950": "zh_hant",
    "euc_kr": "ko",
    "cp949": "ko",
}
PAIRS = [(codec, language) for codec, languages in LANGUAGES.items() for language in languages.split()]


def write(text, codec):
    "Bytes of a text; Vietnamese tones become marks of their own, as cp1258 wants them"
    if codec != "cp1258":
        return text.encode(codec)
    tones = "\u0300\u0301\u0303\u0309\u0323"
    letters = (unicodedata.normalize("NFD", c) for c in text)
    split = (
        unicodedata.normalize("NFC", "".join(c for c in letter if c not in tones))
        + "".join(c for c in letter if c in tones)
        for letter in letters
    )
    return "".join(split).encode(codec)


def rows(lines):
    "A CSV of text and label"
    return "".join(["text,label\n", *(f'"{line}",{"pos" if i % 2 else "neg"}\n' for i, line in enumerate(lines))])


def refusal(data, source="reviews.csv", encoding=None):
    "The message of the refusal"
    with pytest.raises(UserError) as error:
        decode(data, source, encoding)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("codec, language", PAIRS)
@pytest.mark.parametrize("form", [rows, "\r\n".join, " ".join], ids=["rows", "lines", "prose"])
def test_ordinary_text_is_read(codec, language, form):
    data = write(form(SENTENCES[language]), codec)
    found = decode(data, "reviews.csv")
    assert found.text == data.decode(codec)
    assert found.notes and found.notes[0].startswith(f"decoded as {found.encoding}: '")


@pytest.mark.parametrize("codec, language", PAIRS)
def test_short_text_never_misread(codec, language):
    "One sentence: right or refused"
    for sentence in SENTENCES[language]:
        data = write(f"text,label\n{sentence},pos\n", codec)
        try:
            found = decode(data, "reviews.csv")
        except UserError:
            continue
        assert found.text == data.decode(codec)


@pytest.mark.parametrize(
    "text",
    [
        "café bon",
        "Très bien",
        "C’est génial !",
        "schön\nhässlich",
        "für die Größe",
        "müde;Ärger",
        "mañana\n¿Qué tal?",
        "El niño comió",
        "não gostei\nótimo serviço",
        "perché no\ncosì così\nla città è bella",
        "blåbær på fjellet",
        "mycket dålig\nbäst i världen",
        "hjælp mig",
        "Hyvä ruoka\nhuono tästä",
        "geïnteresseerd\néén keer",
        "it’s great",
        "“great” stuff\nbad – really",
        "only €5",
        "costs 10 € — ok",
        "20 °C outside",
        "£5 off",
        "Pokémon is great",
        "Hôtel très agréable à deux pas de la plage\nDécevant",
        "THÉÂTRE FERMÉ",
        "© 2020 Acme™",
    ],
)
def test_small_windows_file_is_read(text):
    text = f"text,label\r\n{text},pos\r\n"
    assert decode(text.encode("cp1252"), "reviews.csv").text == text


@pytest.mark.parametrize(
    "data, first, second",
    [
        (b"text,label\nbad\xe9\xe8,pos\n", "cp1252", "bad"),
        (b"\xe8 bello,pos\n", "cp1252", "cp1250"),
        (b"a\xf5b\n", "cp125", ""),
    ],
)
def test_unclear_file_is_refused(data, first, second):
    message = refusal(data)
    assert f"{first}" in message and second in message
    assert "Write encoding = " in message and "is not clear" in message


def test_note_shows_guessed_words():
    text = "text,label\nПривет мир,pos\nПривет снова и ещё раз тебе дорогой друг,neg\n"
    assert decode(text.encode("cp1251"), "x.csv").notes == [
        "decoded as cp1251: 'Привет', 'мир', 'снова', 'и', 'ещё'",
    ]
    long = f"{'превысокомногорассмотрительствующий'} привет мир, как дела сегодня"
    assert "'превысокомногорассмо…'" in decode(long.encode("cp1251"), "x.csv").notes[0]


# ---- UTF-8


@pytest.mark.parametrize(
    "text", ["", "plain\n", "café 😀 мир\n", "a\0b, and much more text with é\n", "esc \x1b[31mred\x1b[0m"]
)
def test_utf8_is_read(text):
    found = decode(text.encode(), "x.csv")
    assert (found.text, found.encoding, found.notes) == (text, "utf-8", [])


def test_random_utf8_round_trips():
    draw = random.Random(7)
    alphabets = ["abc, \n", "éüßñ", "привет", "日本語文", "שלום", "😀👍🏽", "ไทย", "\u200d\ufeff"]
    for _ in range(500):
        text = "x" + "".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randrange(60)))
        assert decode(text.encode(), "x.csv").text == text


def test_bad_byte_names_its_place():
    message = refusal(b"text,label\ncaf\xc3\xa9 bon,pos\nit\x92s bad,neg\n")
    assert message.startswith("reviews.csv, line 3: byte 0x92 is not UTF-8 (after 'it').")
    assert "Save the file as UTF-8, or write encoding = cp1252 if" in message


@pytest.mark.parametrize("codec", ["cp1252", "cp1251", "cp932"])
def test_further_bad_places_are_counted(codec):
    data = "Ça a été très cher à l'hôtel, déjà vu\n".encode() + b"it\x92s\n" * 3
    assert "2 more such places" in refusal(data)


@pytest.mark.parametrize("text", ["café é", "привет мир", "今天天气", "great 👍"])
@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_cut_character_is_named(text, encoding):
    message = refusal(f"text,label\nédition,pos\n{text}".encode()[:-1], encoding=encoding)
    assert "line 3: byte 0x" in message and "ends in the middle of a character" in message


def test_joined_encodings_are_refused():
    data = "text,label\ncafé bon,pos\n".encode() + "déjà vu été\nà très hâte, forêt\n".encode("cp1252")
    assert "line 2: 'é' is UTF-8, but most of the file is cp1252" in refusal(data)


# ---- UTF-16 and UTF-32

WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
SCRIPTS = ["fr", "pl", "ru", "el", "he", "ar", "th", "ja", "zh_hans", "zh_hant", "ko"]


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("language", SCRIPTS)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["no mark", "mark"])
def test_wide_text_is_read(codec, language, mark):
    text = rows(SENTENCES[language])
    found = decode((mark + text).encode(codec), "x.csv")
    assert (found.text, found.encoding) == (text, codec)
    assert bool(found.notes) == (not mark)


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("text", ["a,b\n1,2\n", "text,label\nok,1\n", "x\n😀 great,1\n", "नमस्ते,1\nयह अच्छा है,2\n"])
def test_small_wide_file_is_read(codec, text):
    assert decode(text.encode(codec), "x.csv").text == text


@pytest.mark.parametrize("codec", WIDE)
def test_cut_wide_file_is_refused(codec):
    data = rows(SENTENCES["ru"]).encode(codec)[:-1]
    assert "ends in the middle of a character" in refusal(data)
    assert "ends in the middle of a character" in refusal("\ufeff".encode(codec) + data)


@pytest.mark.parametrize("codec", ["utf-8", *WIDE])
def test_mark_never_stays(codec):
    data = "\ufefftext\nпривет\n".encode(codec)
    assert decode(data, "x.csv").text == decode(data, "x.csv", codec).text == "text\nпривет\n"


# ---- a given encoding


@pytest.mark.parametrize("codec, language", PAIRS)
def test_given_encoding_is_used(codec, language):
    data = write(rows(SENTENCES[language]), codec)
    found = decode(data, "x.csv", codec)
    assert (found.text, found.notes) == (data.decode(codec), [])


@pytest.mark.parametrize(
    "name, shown", [("UTF8", "utf-8"), ("utf-8-sig", "utf-8"), ("Windows-1252", "cp1252"), ("utf_16", "utf-16-le")]
)
def test_given_name_is_normalised(name, shown):
    text = "text\ncafé\n"
    assert decode(text.encode(name), "x.csv", name).encoding == shown


@pytest.mark.parametrize(
    "name, message",
    [
        ("cp12522", "there is no encoding 'cp12522'. Did you mean 'cp1252'?"),
        ("utf-9", "Did you mean 'utf-8'?"),
        ("", "there is no encoding ''"),
        ("a\0b", "there is no encoding"),
        ("hex", "no encoding of a text file"),
        ("base64", "no encoding of a text file"),
        ("rot13", "no encoding of a text file"),
        ("zlib", "no encoding of a text file"),
        ("unicode_escape", "no encoding of a text file"),
        ("idna", "no encoding of a text file"),
    ],
)
def test_wrong_codec_is_refused(name, message):
    assert message in refusal(b"abc\n", encoding=name)


@pytest.mark.parametrize(
    "data, encoding, message",
    [
        (b"one\ncaf\xe9 bon\n", "utf-8", "line 2: byte 0xe9 is not UTF-8 (after 'caf')"),
        (b"one\r\n\x81 bon\n", "cp1252", "line 2: byte 0x81 is not cp1252 (before ' bon')"),
        ("été".encode(), "ascii", "line 1: byte 0xc3 is not ascii"),
        (b"\xa4\xa2\xffx", "euc_jp", "byte 0xff is not euc_jp (after 'あ')"),
        ("\ufeffa".encode(), "cp1252", "starts with the byte order mark of utf-8, but encoding = cp1252"),
        ("\ufeffa".encode("utf-16-le"), "utf-8", "starts with the byte order mark of utf-16-le"),
    ],
)
def test_misfit_names_its_place(data, encoding, message):
    assert message in refusal(data, encoding=encoding)


def test_utf16_without_mark_is_not_assumed():
    text = rows(SENTENCES["ru"])
    assert decode(text.encode("utf-16-be"), "x.csv", "utf-16").text == text


def test_doubtful_encoding_is_noted():
    assert "0x92" in decode(b"it\x92s", "x.csv", "latin-1").notes[0]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman", "cp1251", "gbk", "cp932", "utf-16-le"])
@pytest.mark.parametrize("text", ["le café était fermé", "привет, мир", "good 🙂 day", "5 €", "“fine” …"])
def test_utf8_is_not_read_as_told(text, encoding):
    message = refusal(f"{text:<20}".encode() + b" " * (len(text.encode()) % 2), encoding=encoding)
    assert "UTF-8" in message or f"is not {encoding}" in message, message


@pytest.mark.parametrize("text, encoding", [("联通,a\n", "gbk"), ("Ã©,1\n", "utf-8"), ("À la carte: é", "cp1252")])
def test_encoding_that_was_told_and_fits_is_used(text, encoding):
    assert decode(text.encode(encoding), "x.csv", encoding).text == text


# ---- no text


@pytest.mark.parametrize(
    "data, name",
    [
        (b"PK\x03\x04\x14\0\x06\0", "a ZIP archive"),
        (gzip.compress(b"hello", mtime=0), "gzip data"),
        (bz2.compress(b"hello"), "bzip2 data"),
        (lzma.compress(b"hello"), "xz data"),
        (b"PAR1\x15\x04\x15\x10", "a Parquet file"),
        (b"SQLite format 3\0\x10\0", "an SQLite database"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"GIF89a\x01\0\x01\0", "a GIF image"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file"),
        (pickle.dumps({"a": 1}, protocol=4), "a Python pickle"),
    ],
)
def test_binary_format_is_named(data, name):
    assert f"reviews.csv: is {name}, though its name ends in .csv" in refusal(data)
    assert f"is {name}" in refusal(data, encoding="latin-1")
    assert "though" not in refusal(data, source="standard input")


@pytest.mark.parametrize("text", ["PAR1,label\nok,1\n", "BMW is good,pos\n", "ID3,x\n", "GIF8,MZ\n", "RIFF\n"])
def test_text_like_a_signature_is_read(text):
    assert decode(text.encode(), "x.csv").text == text


@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 9, b"\0" * 99, random.Random(1).randbytes(4000)], ids=["all", "zeros", "random"]
)
def test_control_bytes_are_refused(data):
    assert "control characters" in refusal(data)


def test_unknown_encoding_is_refused():
    refusal("\n".join(SENTENCES["de"]).encode("cp037"))  # a mainframe's
    refusal(random.Random(3).randbytes(400).translate(None, bytes(range(32))))


@pytest.mark.parametrize(
    "codec, sentences",
    [
        (
            "kz1048",
            [
                "Тағам өте дәмді болды, бірақ қызмет көрсету баяу.",
                "Бұл кітапты бір кеште оқып шықтым, өйткені қызықты.",
            ],
        ),
        (
            "ptcp154",
            ["Бүгүн аба ырайы жакшы, көчөгө чыгып ойнойбуз.", "Бул китепти бир кечте окуп чыктым, абдан сонун."],
        ),
    ],
    ids=["Kazakh", "Kyrgyz"],
)
def test_unknown_language_is_refused(codec, sentences):
    "No table has the language, and the nearest one would change letters"
    assert "no encoding reads it" in refusal(rows(sentences).encode(codec))


def test_foreign_names_stay_right():
    "English rows with names from one region"
    rows_of = "text,label\n" + "".join(f"I met {name} at the new place and it’s great,pos\n" for name in NAMES)
    assert decode(rows_of.encode("cp1252"), "x.csv").text == rows_of


NAMES = ["Beyoncé", "Zoë", "Müller", "François", "José", "Malmö", "São Paulo", "Nørrebro", "Côte d’Ivoire"]


# ---- large files


def test_rare_byte_far_away_decides():
    "The only euro sign of an ISO file stands outside every plain sample"
    text = rows(SENTENCES["fr"]) * 4000 + "prix : 5 € ou 10 €\n" + rows(SENTENCES["fr"]) * 3999
    assert decode(text.encode("iso8859-15"), "x.csv").text == text


@pytest.mark.slow
def test_long_line_is_read_quickly():
    started = time.monotonic()
    data = b"YWJj" * 2_000_000 + " café bien sûr, déjà vu à l'hôtel".encode("cp1252")
    assert decode(data, "x.csv").text.endswith("déjà vu à l'hôtel")
    one_line = ("".join(SENTENCES["zh_hans"]) * 20_000).encode("gb18030")
    assert decode(one_line, "x.csv").text == one_line.decode("gb18030")
    assert time.monotonic() - started < 20


def test_damaged_legacy_file_is_refused():
    data = rows(SENTENCES["ja"] * 50).encode("cp932")
    middle = data.index(b"\n", 3000)
    assert "though the rest reads as cp932" in refusal(data[:middle] + b"\xff" + data[middle:])
    data = rows(SENTENCES["ko"] * 50).encode("cp949")
    refusal(data[:3000] + b"\xff" + data[3000:])
