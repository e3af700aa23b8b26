"""Text of unknown encoding: found, named, or refused.

`decode` tries what is certain first: signatures of binary formats, byte order marks, strict UTF-8, zero bytes of
UTF-16. What is left is guessed: every legacy encoding is tried on a sample, and each reading is priced in bits by how
rare its pairs of letters are in the language that suits it best. A guess needs a clear lead over every other reading.
"""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ftkit.errors import UserError, did_you_mean

MARKS = (  # longest first: the mark of UTF-32 starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
ESCAPED = ("iso2022_jp", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr", "iso2022_jp_2")
# Python calls these text encodings, but they rewrite ASCII such as "\n" or "xn--"
NOT_FOR_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")

SIGNATURES = (  # offset, bytes, name
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"PK\x07\x08", "a ZIP archive in parts"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"\x1f\x9d", "compress (.Z) data"),
    (0, b"\xfd7zXZ\x00", "xz data"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (0, b"\x04\x22\x4d\x18", "LZ4 data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file"),
    (0, b"%PDF-", "a PDF"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"\x00\x00\x01\x00", "an icon image"),
    (4, b"ftyp", "an MP4, HEIC or AVIF file"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x03", "a Python pickle"),
    (0, b"\x80\x04\x95", "a Python pickle"),
    (0, b"\x80\x05\x95", "a Python pickle"),
    (0, b"\x00asm", "a WebAssembly program"),
    (8, b'{"__metadata__"', "a safetensors file"),
)
# these begin like ordinary text, so control characters have to follow
ASCII_SIGNATURES = (
    (0, b"PAR1", "a Parquet file"),
    (0, b"BZh", "bzip2 data"),
    (0, b"ORC", "an ORC file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"FEA1", "a Feather file"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"RIFF", "a RIFF file (sound, video or image)"),
    (0, b"BM", "a BMP image"),
    (0, b"ID3", "an MP3 file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"MZ", "a Windows program"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"$FL2", "an SPSS file"),
    (0, b"<stata_dta>", "a Stata file"),
    (0, b"wOF", "a font"),
)
UNTEXT = re.compile("[\x80-\x84\x86-\x9f\ue000-\uf8ff]")  # controls beyond ASCII, private use
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"

SAMPLE = 200_000  # bytes that a guess reads
STRIDES = 16  # parts of the file that the sample is taken from
HIGH = re.compile(rb"[\x80-\xff]")
SAFE = re.compile(rb"[\x00-/:-?]")  # never part of a longer character in any encoding below
LEAD = 10.0  # bits by which the best reading has to be cheaper than every other
DEAREST = 12.5  # bits a pair, on average: above it a reading is no text of a known language

WESTERN = "en fr de es pt it ca nl sv da nb fi is et sq"
CENTRAL = "pl cs sk hu ro hr sl sq de"
CYRILLIC = "ru uk be bg mk sr"
# codec -> bits to pay for its rarity, the languages it is used for. Equal readings take the name of the first.
CANDIDATES = {
    "cp1252": (0, WESTERN),
    "cp1250": (2, CENTRAL),
    "cp1251": (2, CYRILLIC),
    "cp1253": (2, "el"),
    "cp1254": (3, "tr"),
    "cp1255": (2, "he"),
    "cp1256": (2, "ar fa ur"),
    "cp1257": (3, "lt lv et"),
    "cp1258": (4, "vi"),
    "cp874": (2, "th"),
    "cp932": (2, "ja"),
    "gb18030": (2, "zh_hans zh_hant"),
    "cp950": (2, "zh_hant"),
    "cp949": (2, "ko"),
    "euc_jp": (3, "ja"),
    "iso8859-15": (5, WESTERN),
    "iso8859-2": (5, CENTRAL),
    "iso8859-5": (5, CYRILLIC),
    "iso8859-6": (5, "ar"),
    "iso8859-7": (5, "el"),
    "iso8859-8": (5, "he"),
    "iso8859-9": (5, "tr"),
    "iso8859-13": (6, "lt lv et pl"),
    "iso8859-4": (8, "lt lv et"),
    "iso8859-16": (18, "ro pl hu hr sl sq"),
    "iso8859-3": (14, "tr"),
    "iso8859-10": (10, "lt lv et is sv nb da fi"),
    "iso8859-14": (14, WESTERN),
    "koi8-r": (4, "ru bg"),
    "koi8-u": (5, CYRILLIC),
    "kz1048": (9, CYRILLIC),
    "cp850": (8, WESTERN),
    "cp858": (8, WESTERN),
    "cp437": (8, WESTERN),
    "cp852": (7, CENTRAL),
    "cp866": (5, CYRILLIC),
    "cp1125": (8, "uk ru be"),
    "cp855": (8, CYRILLIC),
    "cp737": (7, "el"),
    "cp869": (9, "el"),
    "cp857": (7, "tr"),
    "cp775": (8, "lt lv et"),
    "cp860": (14, "pt"),
    "cp861": (14, "is"),
    "cp862": (8, "he"),
    "cp863": (14, "fr"),
    "cp864": (10, "ar"),
    "cp720": (8, "ar"),
    "cp865": (14, "nb da"),
    "mac-roman": (7, WESTERN),
    "mac-cyrillic": (4, CYRILLIC),
    "mac-latin2": (8, CENTRAL + " lt lv et"),
    "mac-greek": (9, "el"),
    "mac-turkish": (9, "tr"),
    "mac-iceland": (9, "is"),
    "mac-croatian": (9, "hr sl"),
    "mac-romanian": (9, "ro"),
    "hp-roman8": (14, WESTERN),
    "big5hkscs": (20, "zh_hant"),
    "shift_jis_2004": (8, "ja"),
    "euc_jis_2004": (8, "ja"),
    "johab": (12, "ko"),
}
UNSPOKEN = 1e4  # bits to pay for a language whose most frequent words a longer text lacks
FOREIGN = 8  # bits to pay for another script if six in seven letters are ASCII
UNUSUAL = {"en": 8, "de": 12, "fr": 12}  # bits to pay for a language that the codec is not made for; others 20

# The most frequent words in ASCII of languages in Latin script
COMMON = {
    "fr": "de la le et les est en des un que pas une du il pour dans je qui au ce sur qu",
    "de": "die der und in das ich ist nicht zu den von mit es ein auf im sie eine sich auch dem des",
    "es": "de la que el en los no un se por es del las con una para lo su al como me si",
    "pt": "de que do em da para um uma com no se na por os eu como as mais dos mas foi ao",
    "it": "di che il la in non un per del una le si con della da sono ma al ha come dei se",
    "ca": "de la que el en per del un les els una no amb va al es ha com dels hi ser aquest",
    "nl": "de van het een en in is op ik dat voor je te met niet zijn die als er maar om aan",
    "sv": "det att och jag en inte som med har av om du till den de ett kan vi men man var ska",
    "da": "og er af det at en til jeg har for ikke med den der de du kan som et var vi om",
    "nb": "og er det som til en av for ikke med har jeg at de du om den vi fra var kan et",
    "fi": "ja on ei se oli mutta ole kun niin jos ovat voi nyt sen kuin tai en joka olla vain jo kanssa",
    "is": "og er sem til en af hann um ekki var fyrir eru eftir svo hefur vera hafa upp ef eins fram voru",
    "pl": "nie na to do jest jak ale co tak za od po dla tym czy przez tego ma tylko mi mnie ze",
    "cs": "se na je to si do jsem ale tak pro ve za co jako jak po by od jsou mi jen nebo",
    "sk": "sa na je to ako aj si do som ale po za tak od bol by pre ak alebo nie sme ich",
    "hu": "az nem hogy egy is de meg csak ha van volt ez vagy kell el ki azt most akkor mint ezt minden",
    "ro": "de la din pe cu nu mai un este care pentru se au ce fost ca al am sunt fi si va",
    "hr": "je da se na od za su ne sa iz to kao godine koji kako bi ali nije po do sve bio",
    "sl": "je in na se da so za ki pa tudi lahko ne kot po iz bi bo od tako to pri ali",
    "lt": "ir kad su yra tai kaip ar buvo savo tik bet nuo ne apie taip lietuvos kai labai per dar gali jau",
    "lv": "un ir ar par ka no uz kas vai bet es nav to tas man ja lai bija ko tikai tad kad",
    "tr": "ve bir bu de da ile ne daha en gibi olarak her kadar olan ben var ama sonra ki iyi yok ya",
    "vi": "trong cho khi ra sau nam gia theo anh con sinh trung tin quan ta do hay cao qua em hai xe",
    "et": "on ei kui pole ja faili vigane fail viga saa nimi vaikimisi kasuta see ainult ole mitte et kas number",
    "sq": "me file duhet nuk nga pamundur republika dhe tregon te gabim mund ka si tek ose po widget kur vlera do ky",
}

# How often two letters follow each other, counted in the word lists of wordfreq 3 and, for et, sq, be, sr and th, in
# the message catalogues of Debian. "_" is the edge of a word. Spaces part octaves of frequency: each group is half as
# frequent as the one before. Latin tables list only pairs with a letter that ASCII lacks. ja, ko and zh list
# single characters.
TABLES = {
    "en": (
        " é_  récéféséém éeà_éstéhékéánérmélé_àño_énçóníanéñaétãoçoçadéür eñéluéá_rípé_ââ_sãiñgéínmáañénrèfüárécèró_b"
        "éí_ièédégmüáséaül_á títáaïaçör_üéb_óèså_cínáïválât_öuáláünoë"
    ),
    "fr": (
        " à__àé_ _érétédéét éeérésécnéêtèrça séèsrèiè_çméépléég_êpéélêmmêédgéénév émiévéuéhécééféaféèmrêôtlàlèoùù_nçé"
        "b aîéqéjbé"
    ),
    "de": (
        " ürfü üb_ü ß_ßeänönrüätköhähöähläühärünücwätä räöraßußißöswümüüstüäcmöäläuäsfänämä röög_äößßtoßüß_ölüpäöfägk"
        "ülöütsäöhöcügbüölhüüläd äfötnüämdüzätö"
    ),
    "es": (
        " ióón íaásmáó_ aññoríá_í_rátáé_ ánuéénñadísíiééslíúneñís cótí_éítóm_úaítóícbícírósóólínméérgúuítévínírémízóé"
        "lpúúbúlnó _álóáciñséfííocádóláálárgíhíéxnúídmó"
    ),
    "pt": (
        "ão  é__énãçãaç á_çasã émõeê_cênçár_àtátãráçõà_êniçtéçoeçbéjá sóóró_êsértóícaímãlí_áósídívísláítuçró_úuéhá rê"
        "méríânásínrçséiãléávvípómísítêágnótíésúbrãpú"
    ),
    "it": "è__è à_tàù_iù ò_ì_é_ hésìrà uòiàròiò hè dìlìoè",
    "ca": (
        " ésó_ió _émé à_é_ò_ràí_ròènè_ uèbéçaóntàsónçlíréxòísàc àrtíítmàòrtétòrèlàmíàn_úèstèaçrípúúbícxírçínúsç_uíàsú"
        "__àmóèrlècà dèsíüelòílvíàtaígúècuïgü"
    ),
    "nl": "ië énë__ééé ëlëneëé_ ïneï ëraïaë eéhéhèè_ièèróóórvóvékéëiféëeïsél oösétéréïeöroëà_ünèn",
    "sv": (
        " är_äå_ör föpåän såårälånvä läråågnääthäsärä_ågåfånåtä_öjäägmåövåtdågövå hödääsålkälåävmäämtååshåkörööksöbä "
        "böäkådlöödötöstömööpönög"
    ),
    "da": (
        "å_ på såørærårvæ føænmårælæ_åødæl fåådæskøsøgånå_øtæsægørøøbøjølækhøløøgtøønægnææt tååebøåldøøvmæhåjæråkæåbf"
        "æånåsøs_æmø ædlåhæævnøbåpø"
    ),
    "nb": "å_ _åpå ørårsåær jøfønåvæmåfå gå_øåthøøyrøøksøønøltø ødløvåtååpøtøpådøvåløsånrådømølåbø hålæbånæpønø",
    "fi": "ä_tä äään läväkä sänämääihäätälyöpääsjä ämähäyösäräkdäiätö ävräönlöö__ä köeäöyöiöt",
    "is": (
        " ð_ _þí__íaðá__áið þeðiðaeð þaðurðrájóérví ár_éég_úærjáálísséætú_sííkölórlíátúnjöínörhúögþvæðvæuðmáíðútþáóln"
        "ú_örí óttíáðúrtöhéöntóétræóðtæélónbælö"
    ),
    "et": (
        " võär väõiälõtäi _üsüõnmäääümühjäkätü üllõüüüsäsõptänä_õööõrsõähtöpäüktõaõkõüpkü lü_äätäerüläõl mõõhötõuünsä"
        "põö_"
    ),
    "sq": "ë_të ërëspë në rëjësëhëënmë _ëdëlëëmkëqëëtgë zë ëvbëëz_ç",
    "pl": (
        "  ę_ięć_ą_żeał _żłaówł_łooś ż_tóórścjąaćyłś_ożiąróędeśłyużżyażeż_śłeęczęąc ząjęiłśćślbęsłłuićądyćsągłołmózłż"
        "nękśwwłnąyśiśkóńsń_ańtę pódłeńżaśnóbkłećaśśmńcsówóółójdęętgó"
    ),
    "cs": (
        "  í_ní ě_é_něžeá_řepř _žž_náráý__čměvěímtěříváčeělděkéámjíícnéálřimá šívívýšeů_tíužánětátávtřádnýlávéčnítzám"
        "íkáásvšoždídáýcžitákýaž_řeč_úěkéhcíčiíkoč_šštémlí síěješísrýréléčamůačběežýmtéčíácázyžěnš_šiěc"
    ),
    "sk": (
        "   ť_é_žeá_ý_nárá_čí__ž ú_nénýýcčaaťvýžiž_eľčiočríužáv_ššečošimávásťsúám kýýmníštiťčnažvšáctázáéhrýátál_úľaí"
        "mláásožjúárkérétýačkáánádď_čemôeďežečešďatíašôž ťaľkšínúdášaždícísičtú_ľčížnľuvéíkháoľdíň_kúúčínémíváz_ďté"
    ),
    "hu": (
        "  _éés árálánégérénó_máás látáköátülő_éltékémézáváétrá_áágzénéjásévétöábléöz ítépönlőék_úörhátóóljósátőévlóö"
        "tnáámrézögé_ökáró_íösákbárüküől ősgásőújdéígzóövdőzüázöbézölírzőzídáű__őőtpáúgívünébökműfé"
    ),
    "ro": (
        "ă_ _îîn şi_şţicăsătă ânrăaţăr ştnţnăpăcâlăăteşmămâaş âtiţţaţăvăzăeţtâţeăsgăcţăţfăămăc băşa_ţdăuţişîmpâăuuşoţ"
        "uăşe"
    ),
    "hr": (
        "  št_šžeće _čišiččičeašošećšeži_žš_ačožćiažčkuččaža_ć ešočšačneđđeširžužđuućušć_ćaškićoć ađžnšnpšođeččurššlđ"
        "aežaććučl ižžu"
    ),
    "sl": (
        "  če_š_ččiočše_žeččaže iččnišč_žiačašštškšižašč jšežožšaužoščjučšnržžneščučl bčš_šoušnčšlažkšižžbrščkčr žjž_"
    ),
    "lt": (
        " ų_ ą_ į_iųėsiš_į_šė_žiči_žnėšidėš_tųėj aždžėlbūašlėjųškužrėėtūrūstąę_mėbė ūtštkėsųtėmąeššavėkąžmačjąnąžemųž"
        "anųsąjūsėtūkškųšv ž_mūiąęsūnrą_čkūičįsrųrūgųėmįvpėėršeiū"
    ),
    "lv": (
        " ā_ tā kārīnāākāsjāārrāībpēād vēiņmāājāt_šī_ējlīīgtīētāmītšaērmēēlūsbūlāzīpāūtšidā lēīdē_ālēcešdīvāīvņanībād"
        "ēsārēš_šoēsāccīīsgāšuēkēmtējūašļaījošņuāp zēmūāvaļšāģisēršīmkš_ļļušī_āļokļmīsīķiņiņšvī"
    ),
    "tr": (
        "  ı_ın lı_çnırısıdıünaşıliçtı çiır_öişıkği_şürımş_kıyıgüçomıtüışgöü_eğşedüüzğı_üönşışiağörşaçeız iğştç_ğuıyl"
        "üeşükyüçıaççaümığuğözöyküzışloğülmüüynüısşkeçrüölbüuşğrşmböpı cıüşsüğlsöğerçşurş"
    ),
    "vi": (
        "  _đ à_ làônó_vàênáciệhưcá àncóượcủủađưườờihôạiiếhàớiể_ợcháấtộtmộàyếnìniêơnở_nàânị_ệnảnếthọánđigưã_ầnư_iề ướ"
        "híì_ốnạnàovớăn_ởđộhúđãhìảiềuuốhấiểhảế_ầuố_hểự_ươđểhữtạựchứôiề_ộ_côínònhâờnàiớctừá_hậrưâyẽ_ả_hếcảđếoààmữnộnật"
        "sốậnừ_ứclạđóủ_ệtềnọ_sẽnăồnốioạý_nóọcmàỉ_áthủvềtôgàử_cũcầhỉũnộiămáihơô_đầốcyêhạùnđạ únhịícbảấy_ôậphốệ_sựtưổ_h"
        "óbịộcếuệcưní_rêứ_địbạhờđaểnlưằnụctốụ_hầvậâuáoêuđâặcảođồơiuộcòắnmìrấbộiáiảuậ"
    ),
    "ru": (
        "  о__ве_и_а__с_н_п то_ив_стя_на_оно_кпони_тнеко_день_ра_мй_ т_рогоовтам_просотвоы__бреетолкаорли_чоду_деерть"
        "_ртеакльандак_алс_елогесомлеонитлатимевева_уза_затх_ри_г сечеемобмоойложеас_ескчтдоинныл_бысо_э_абоедилиятрт"
        "визэтиеавкин_слмаим_легазвивсисру_яииарейамсядивымиз_ляю_песича днхоихожоеудик_жссылнндуокциочтсийшемучид_ьн"
        "ектыадспсарыпакрняктр_знучсвбещеыйаеутлуужых_хдлтуятмыгдаямнжннуичыееентвнбугр_фезевжиопидвливусньсьебоиозаб"
        "кулювртнцеачажбрбл дргиждснькиршигаряпиртг_суукглзвздицашурчнугйсьшнсечрнзоошупещигайапсмаюояьсацбиуюпуытпле"
        "хдвдыежымвуумютубахщи_црсмяысдсиюешшаиосрндфирврьбяибулжа_шкл"
    ),
    "uk": (
        "  а_о__ви__н_п е_і_нау__з_тя_в__дро_ста_мраст _унетипрвікопо_іно_р_бовтогоні_книер_язаь_з_й_енвидоогваанідор"
        "_овоодомосли_ащоть_щреавалрим_якк_киняї_атх_ льма_цівннмоолобкааккрасонит_чцібусьькінларідететрмідид_лою_цеи"
        "нісийарілті_гкіукдалін_куокжеихмеадлялеійотє_мутуаїмиїнпеимпіамив_лт_исчавссідідникс_ожсясебовної утдуіїітну"
        "чи_хувгазнудазверуаєбар_емспулчеайбі_йше_жсвхоезочозслилж_ьнлюпасиексобиесьоетсуйодлопсаацнтедсноюнсгрізблел"
        "ікьсбеіяагньаб_їб_сктв_єпи_ф нкаюаччоейахктртшиумжнютчн_шрнщеусурвлйсйнажжизвклашупвжімебзуцьжаирвубрапюдичу"
        "жшоиддрічрмятзитязіірєтлуїхицішібтневошпуьшршттеж_ефозозрншохгіжунцплндрязмишдядвхаткхтчул_"
    ),
    "be": (
        "  а__пнаракая_ пае_ваі__нады_ан_з_аь_неалцьтастры_ввы_д ар_к_су_даамныпрмаавасацльзаакагерліьнлаазлячаенў_ня"
        "мекіаўайннтрае_мні_ўыя_ратціымгазнабачая длкоікрэоўца_бдзэнты_фскчы_тнтццле_уінк_тоаполтэфасцм_норуй__цўн_ік"
        "уісзевеіцвілодкцыецнь_гт_йлзв_яр_ыкропебумыемчэылбаодо__шміовклэтынысх_ўвор восіз_ыцспсяю_мялюл_осшчкртунушы"
        "днкспісагрэлд_субляк_ллкырс_экызупбоіян_моўдашпуджэсжадызмонткзіусыхчнсеснівлугудоуддрдуутгчяўгэкнсл_эічесед"
        "окфівяімыфыв_чькахідяв жылынсючянумытукштядрсб_опялтнтвртучогндхоілзьўтуепоелўлцемляшярпксьўкнюойурктыбягулд"
        "ээрожжэўсетыпшавуірюсгосыубекэмяцчкдмйсузыўйнычдсаюбыхадвгл_хуюнкеймуплбревуньмобдтбнюцяпомрмжньцбіцээйгіувс"
        "о"
    ),
    "bg": (
        " а_ е_и__с_но_на _п_в_д_итот_та_о_котатдастрани_тва_мкав__зтеза_еко нопрсеенпонерея_риитоведмалиияан_бчеетс_"
        "си_гве_чтиинавмевин_говоакм_ор лероар_а_ролдедиамалосмомидогакисаодсъелазъробскисщелаимтрерятесизй_иед_емасо"
        "гилк__лтвадслци_щвъложе ичонездникр__уойняайбил_екзиивпаз_чабеомвсълбокъбълнщоожгр_хнтбру_врокруапъмлкпъгикр"
        "тъсптнлясвчиирзвпеицечзнямбапиоядвквусевоиътъдещжиегктсо_жеш _фснучдрякабмнряшеочащщаждопдънс_цашцеидъваглгр"
        "ъртежх_игчкжаг_хотурсоеозеймуачъсрнлудучнфиуррвцаш_ъщвнглявблкувяйтощ_ятяажклсмплиохасрацугбвшиофйнъзецябзеу"
        "взойсздублющизпумаеък"
    ),
    "mk": (
        " а_е_ о_и__нна_с_д _п_и_вво_оаттокакот_таодданите_красеот_м_зстја не_тпо_гдевазанод_енрепр_еакитовгоедектима"
        "сори_бмедовиинлиојетанорамвелеаврошт н_моијемолосм_исла_рдиалј__ауву_ќеармиелонербиадогск_јциимситрилки_ш_ќо"
        "бгаесгипаиоднашасбеајсаивааиквркубобалосл_у л_идизр_омлутвеш_лиегрш_њеруоадрокв_оижек_брс_чеожегањзневчиицаз"
        "_чшенсебвнаб_фирапнтспоплнсвтуичзижикргуцежаглсу ум_жмнозснлкуччн_цпеезажишусмукеацејугочеќушачктпирвзеаецаи"
        "гдвуртнзбнушадурношртоешисмз_ечубтсблзвииудчаукчкфизоплсрткјдулвлржеандг_"
    ),
    "sr": (
        " а_е_ _п_ни_ рена_сра_ду_прстпоједата_и_онинео_ка_уисватеноавко енодзам_атри_зорме_клиектоосанвеијањсаазедов"
        "имакти_мролама_вотем_бизње_јикивогајдемоинарамсп_р _аитојомња_тсквокедон_циадвиелдртрврсејачиергркуешзит_озз"
        "ндипик_ујлодн_гетј_гусиштачнуопичупонбиокириллеобењалумјубабрг_вн ессућеезд_руасолчеља_лкинткрснишслуспаапбо"
        "вључз_ицутукељевбешкпержуншатвтуљес_жах__шр_в_звепксжиљуећзопуулшеихзукљктцееиаочаегрсблжеочабдуеомбпц еђсвч"
        "кацји_чзлглнсебож_ешиклтношл_ндућ_фмифиагољугрнчнашургагођеткћиљкршцадбзмздидшћчуађргибежсоћазбдв_цлнљијтрвс"
        "мгиувђувуњумпч_бу"
    ),
    "el": (
        " _τα_ σ_ι_τον_ο_ου_σ_κ_π _μτηε__ααιναη_κα_εστυ_ταποειια_ν με_δ_οείαναστιην_γησισμαό_ικσεά__έοντεγιοιαπραή__η"
        "ροερενοσεσατ _θδερι_όίαπόίνμοπρσηνευσνοπαλοωννταλδιυνκάλλιοαρετούπελεένρεωσθα_χέσω_ορότσαάνόσκουτολί_έρ_βμέχ"
        "εκότάρίτω_λαυίσεπέχ_φτρμιελ σολάτόράάλπιθεήσημληκελαρόνι_ήσυ_άλιπάκήιάόνακμπινομαγάσαίύ_ίοόλευυμτήτέχρσιεκυπ"
        "_υέλώννηάρυροπγογεαμμημάκρτίάτχολέφορωόμητργαφμόήτνωπωοίαθρώσκδοώσοτπλ σμιτεγκιρέλίίτγαώ__ιρχχαύσιδπίώρλήνέά"
        "δθέσίήμρηίδδανάδηιμόπέτωρσωνίογβακτλύνόζεγρξεγάβροκσχύνφακλέπιρύτθηπέχιλόμίτώ_ζεμσύ_ξυλιλκέεδχωδργίμήνήάπίχο"
        "χεύήρεξάθίπίζηλβοβάύμόρδίίκ_ρηρύροδγκ_ωγμωτίεμμρήιεάμπττυαδτσ"
    ),
    "he": (
        " _ה ה__אם_ת__לל_י__ב_ש_מ ר_יםותא_ו__ען__כשלני_יאת לילאיוהיאוד_ביך_עללה_וורריולב_יתנוהואימורוואבר_נ_חשייימי_ז"
        "לויה_רזהכלודדיישש_ מהבואלשועוראובאנתיק_המ_תמששהיןירשרנהחוע__פוןילכואחתו_ג_קחי_דוםינדוקוידונמרכיהארהבלעיומבעי"
        "א_סעםשנהרבהועלמשאתהבאחרושפרח_ השרבף_פיאמאשהבמתחדקרתריבהםמעבמאבשבסיהחמאטובתפוהעויוכגי_צמדצייקוחלכאהסוט_וקהתגם"
        "ופרתמצאםיכלבקישמארמקיעעבספכמדרימצוזועדוו_טהגוהערהכוצבנבדלפבשוסדהלךמנמסחלעשלערקיחטימחדבס_לתללהזלחיךחבצרתחגדגו"
        "ץ_כןלשהפז_לקדענשלםהלפעעתנתבחכנכב פההקלדהספניפצאממבככתאזרכשתהנמלשםחתוגפשקבהדרגהצמןלנמכעצקשיצכאיטמבכהכךרךשעחשע"
        "היסג_וךפתזראפעמתקדשתמאדשפרחדםתנתםטרצהגבבןגלנסזמכדכשבקחקההצמבסנחשכוזחהרשקהגרזאצענגוףלרבבכרחנצבכםרטחמרצוטחזצלש"
        "חתבענדתרדזימפ"
    ),
    "ar": (
        " ال_ا ن_ة__مي_ا_ ل__أ_ف_و_عم_منفي_لر_لم_بى_د_لات_ ما_تعلانية_يلىه_لي_كو_أن_هب__إولع_يننااتلكواريك_يا_حامارلت"
        "لأ را_قيربيلعديهاباعا_سنيمعكاء_عن_نلسس_إلرةلحونقاق_يدهذنهذاابميف_وم_جلقلللهعداءلوكلنتداسيمللنمرادوراسسابعلب_"
        "شيولدقدتيحددةيم كن_رموتميل_دلةحييقعمأوهوائستلفدولجيهاعتحهمعريعبروقمة_خربلذحامسأمشرلشبلمديسإنجا_صقواحلرح_كوتع"
        "جمركلإقينودمض_ذيترايويث_عيروذهتاسليكودتوأياقعةسبحتبدتقدركم_ذمحبنخلافجدذليتمتعبوعمكحمهيضاكيقةج_كرمجسمنسط_لخخر"
        "لصشا _طخاوجوبفاوفرجغيبهأسبةاجتلفرندسولططااكتبزيقرحرقلوهنةجلصلقبصويفز__غوسشيكثقتأحئيثلكتيبنفصاأكرساصحقأخبحهنل"
        "ثطرص_رففةعواهجو_ثفقنظعضمثصرجياوثاأعسنمشتخلغوتهرفسرضكةسعتهتىيضبوكبتكاةبقمصيثوكيححلجنتصسرممأرزاحومبقعمهرىشكرقم"
        "قذ_ثيعتطلثرجرقططيحكفعرتهداطيج_آفتفلاضوحجهتجخصسةإذحةوأتفنكصيتنحس"
    ),
    "fa": (
        " ه_ _ا_بی_ن_ر__م_دا_د_ و__کت_انم_ای_وراار_تبادرز_از_رست_نبه_ه داین_شما_سل_اس_خکهامروردندمیریبرالدهودادنیواون"
        "_آ_پورهایاش_ تالایدهم_یدیخو_جیر_فتو_حلیسا_چمناهب__عکناش_گترنهیکناک_رهکراب_زبوشددوس_مو_قکاسیشتبیتهاومردنفتاتو"
        "لگریموینمجامههردمزیتینو رمفریلتمرسیهنگشهیشیترفوزشمتنسرق_خاشوگازنزاع_ف_افرتقاومحامتفاوسشامدیس_صگیختنتاعییکیآن"
        "وششیعااقط__لیزملپیگ_زمبدچهمعرکپارن_طهننشلمدسلهنججوفیرب احاخهیوبرگیگعلکتمسبلشرکشلوشنمحهسشکجهمشنسچیکلگهیوعدبتا"
        "صسواگجموققیطررشنکاکسهسلکمکوعیکسپسنبپرخیقتقراجوجلبگوقدهدبعسمگفنني_اطآمصوج_خرزدقطحمزهوهنظح_فقعمعتتبتفرزچنحتدگب"
        "خبزدلصلهوحرلتعربستلیبايحسوعمکجرسنوتنفمجدت_غتختشصا"
    ),
    "ur": (
        " ے__کی_ _ار_ں_ا__م_ہ یںہ__ب_سمیکیانکےن_و__پ_تور_نت__ج یام_ہےہی_دکااوارال_ونےل_س_اسریکرکوہود_سےلی_لام_ر_گواوں"
        "اتتاایک_لا_آرامایک ب_ھیائدی_عپرنہ_یئینانیتھبا_ح_خکہجابھ_شینادروابئےستسییہساتیھا_چدارہیر_فاہ_قہاف_توپااکدو رت"
        "ونملھ_کھجوتےگییوکسعلوہند_صبییسہمگرز_سللےلوافپناپلہیلٹ_ولمنیمنووئرکبنمریدرے_زگارنزی_طپیمومتیتبردروسدہق_لمازٹی"
        "ھےقاہرشاسرعااقفررداعخاومحالکتعپ_نگیےوجچھگ_خوعدبہہتجسوتتر اںویج_وگودبلسوسکقیاحفیکمھرتمزا_ڈنسنتع_ش_کت_ٹصلچاجنل"
        "لیشجیسمگئشرح_عمپورممہآپمسٹرمعہلرففانکمحہنیٹھوجہحمپہکنسنوزمدبعاجبوطررسجبتحطاشنچیحکصو_غگےختقتقردنمجاگاصوقڈیقوک"
        "لگووبشییبجھصاربشہیفلئسٹتکخلسبجملتنٹرٹدھآئلگوشپھوٹعونظرحیزمقبڑڈ__ذ"
    ),
    "th": (
        "   ารม่องไม่อ้อี่_ไิด ่ากาามทีเกื่_เ้มข้ับมาแฟน_ฟ้ง_ขอาย_แไดสาือรักเด้ตั่สางานียมี์_้า้_เปม_ แพกจร์รถอกใชระพ"
        "กลาอม้งหรั้รืชือรในดขอยาดช้ำหต้สำ่งเลเรังกิราหนควด_กรงก_กัววามู่มงแก_ติูลผิ_สันย_จ_อนบ_แลรีงเครคู่กปรต่ากจะต"
        "์ัด่นพล็น่ไ_ตา_นต_คพิดเ้นดพ่วป็ิมกต่_หมกับบ_ขลืกำ้วนีภา นแวน_องรู่อผไปเคให_หนทบรุ่ยกรูรอมพปลรกยนรุวเนดเขอัลั"
        "หลว_รเรินเักยูเมตรละหาวยถูะเ_ทกทพ์่ใดตแบอ_ี้ี_เพณะล้ำเ_จ_รขณนขอบงไ่ร_ใ_มยา_ชทัเซนไว่รรูปบแบัจาส่ลิิกินงคปิะบ"
        "นิกล_พทอาธช่อคสัจัอออาาตเอรณงอบเคุพบงพ่เงขอแยัั่อ่ร็ทำล_ย่ห้เนกขุณ่ยแสสดดงถอแตปันกรทเวงาแกล่ัตาพาวร้นห็จ่ตาเ"
        "ีกุดรมเตจำลงลี สระกโดอไเทเชมนมเเดว้สมัญมสบกรแ้ไบคพืิวงสมื_ซหัิงิ่์เร_ขรคำงตชนอินอสีเหวอพรนางใถเบุดย่พ็อดแงหึ่"
        "ัฐไวนย_โ่ถนรอดู้น่ถาบอลูขีปแอเาษเบลบิรงท้เมขมทรวธาลเ่จมตน้นวงมณราจเจนคบนำลรสยคดใทามคทรมด_ลดรดัโปดทจทก่_ถนสดอ"
        "ดีสอตา้จดากสปภ่คะ_สะ่กอสก็วจลข์ทสถ_ปาสษายชเส_ดำนบีีอกแะทวกพานืญหบขื้่แขึึ้ดกนชมอาะย์แทีเำสิเลอัสยวคันัมจแป์ก"
        "สิงจทิขตวบคอจุิบ์แฟเตขสตซึคลฟลยเปกก์้ต์นแหวรซิซี้แะไน์ดไโหมรบสอตแจยงะดาทะแ้ใรตกกณ์_ภ"
    ),
    "zh_hans": (
        " 的  是一在不了有人我国这为 中个们他大会和来年以要上到时对么你能就 可也发地说于生家出后与成过学行用日现自多"
        "都没作下得还开经动好法方而公吗看事分月政民主之所里本子最其新同天定业全进部如那当前实但被关美因样机 工等什些"
        "很理去长小道面然间内只并从着起力想电问区体心种及将加员者重意由产已高点合文外女制网情场应无三题第名此表真代市"
        "位正资计相建让次给果期明系西度任该她或怎使通两教认比活提化更利知世立结特东总性手物入数做话务展统社目设己战把"
        "别影受解信司回向常见保何军变它治接安又报论界议爱 选府件平组品少至台权记决北共运各持海原视式据站身联直始处再"
        "反老快才车斯今量路导口交打程感完基科规划金传放改术万南需号强院元领际图门历管求每单非片觉指办广带达队党先游专"
        "布约类级书几候告水参技亚请必师取太球吧集许头确二色造团服史包十儿示调义称像城则证近收根难听马济命乐条京推举况"
        "友格续语且死争支价英标线准流男士望备啊形气委较容干走官失整未却观钱港众言案质查尔织创哪识料研校香照字即欢注首"
        "费育克消转算孩德具获亲离护增商拉空型供华项构究投源连律四谁周山演节跟息省除音"
    ),
    "zh_hant": (
        " 的  是一在不了有人我國這為 中個們他會大和來年以要上到時對麼你能就 可也地發說於生家出後與成過學行用日現自多"
        "都沒作下得還開經動好法方而公嗎看事分月政民主之所本子裡最其同天業定新全進部如那當前實但被關美樣因機工 著等什"
        "些很理去長小然體間面內從起道力想電問區並只心種及將加員者重由產已高點網合文意外女情場應無三題第名此真表市位代"
        "正資計相建讓次給果期明西度任該她或結怎使兩教通認比活提化更利世知立東總性手特物入做制話展數統社務設目己戰把別"
        "影受解司信常向見保回何軍治變它安又報愛論界議 選府平組品少至權記決北共臺運路導各接海持式原視站身直始處據再反"
        "際快件老程才車今量口交斯感打完基科規聯金傳劃放改術萬南需號強院元領圖門管求系每單歷非片覺達指辦廣帶隊黨先專遊"
        "類候級書義約布告亞水幾參技像請太必師球取吧史許頭確集二色造團服包十兒示調稱城則證近收根難聽馬濟命樂條京推舉況"
        "友續語且死格價爭英支線標流男士望備啊形氣委較容連走官失整未卻觀錢港眾料言案質查織創哪研校香識照即歡首費準育字"
        "消轉算具爾孩親德離護空克型增商拉供華獲項構究投源律四誰山周演節跟息省除音"
    ),
    "ja": (
        " のい てなにたでしるとはがかっを すもらうんれまーだこりあく よンさそけきスやどおトえ人イ わちル日ねッめつラ"
        "リクアじせみゃろ大本見出一タば分時ドレ 事中言ロ思年行間カシプ気マジメフ生自コ方会上今バ前者ム子的月チテょ入"
        "ずご国手キ作来何最女全サ無グ合場動ブパャ用ニ後発目オデ話定当ほ 学感理性高部べ画使回私実地新ビ体下知ナへ物エ"
        "通力ダィュ対同家度業げ良名多開ウ持ミ代意金関変セ所長数要内戦以ツ外社化現ョ取ぎ結明ネ俺世好食ズ法モ心楽考ハ味"
        "ベ成能ポ不機初少期様面書違ボ員小先ぞガ車問ケ立市解報近ワ番連記び付加安仕ノぶソ売界教田特公"
    ),
    "ko": (
        " 이 다는에하고가을 지의로서은아한어도기사니있를나해리시그 요인들자일게대라으스수만보제면정주전부여거과장했상"
        "안마 구었데오야내원우신적것성국되세위와무할동생소트드모미진문중말화공까러비습간없분조저입개터유계치월같경회"
        "선년때연실바음관용더명 학네영교당작좋방려않합래발건된단재며각운금람행남물알차등통번르던두타후프겠체크랑식히"
        "너산역버임호포예결반잘님함심속업본레파직디감처런카못노았군받배매출양표피살든현많른법달난집민설였최형또불력키"
        " 천걸강날울테싶청루종언약애코점워토추준께질외근태올참격렇름친초늘권온린따록목복새료편능열판별맞변메머티항필"
        "왜술누절확느특먹줄평씨럼브길급란돌박증송손뭐죽독죠좀즈론활막찾존곳될순환페품투얼향냐석봐및"
    ),
}
NEAR = 13.0  # bits of a pair that a table lacks, of letters that it has
MISS = 17.0  # bits of a pair of letters that no table has
STRANGE = 23.0  # bits of letters that do not belong together, such as two scripts in one word
# symbol -> bits (beside a letter on its left, a letter on its right, anything else)
SYMBOLS = {
    **dict.fromkeys("‘„«", (16, 7, 8)),
    **dict.fromkeys("¿¡", (16, 9, 9)),
    **dict.fromkeys("”»", (7, 16, 8)),
    "‚": (18, 11, 13),
    "‹": (18, 10, 12),
    "›": (10, 18, 12),
    "“": (9, 7, 8),  # closes a German quotation
    "’": (7, 8, 10),
    "―": (14, 14, 11),
    "…": (5, 9, 6),
    **dict.fromkeys("–—", (11, 11, 7)),
    "•": (15, 13, 7),
    "·": (10, 10, 10),
    "\xa0": (10, 10, 8),
    **dict.fromkeys("€£", (14, 14, 7)),
    **dict.fromkeys("¥₪₫₴₺₽¢", (16, 16, 10)),
    "°": (12, 10, 8),
    "§№": (16, 16, 9),
    **dict.fromkeys("®™", (9, 16, 9)),
    "©": (16, 12, 9),
    "º": (11, 17, 9),
    "ª": (12, 17, 10),
    **dict.fromkeys("²³", (10, 17, 9)),
    "¹": (12, 17, 11),
    **dict.fromkeys("½¼¾", (16, 16, 9)),
    **dict.fromkeys("×±÷µ", (16, 14, 9)),
    "´": (10, 10, 12),
    **dict.fromkeys("\u200c\u200d", (8, 8, 12)),
    **dict.fromkeys("\u200e\u200f\xad", (10, 10, 10)),
    **dict.fromkeys("、。，！？：；「」『』（）《》〈〉【】・〜～－―　", (7, 7, 7)),
    **dict.fromkeys("،؟؛٪", (7, 16, 9)),
}


# a symbol with a letter on both sides; dashes and apostrophes may stand there
IN_WORD = re.compile(
    r"(?<=[^\W\d_\u2e80-\uffff])"
    r"(?:[¡-¬®-³µ¶¸-¿×÷\u02c6-\u02dd“”„‚‘‹›†‡•…‰€™\u200e\u200f\u2190-\u2bff]|(?<![lL])·)"
    r"(?=[^\W\d_\u2e80-\uffff])"
)
# Hebrew and Thai have no words of one letter
LONE = re.compile(r"(?<!\w)[\u05d0-\u05ea\u0e01-\u0e5b](?!\w)")
# an apostrophe stands in English endings, after French and Italian articles, before Turkish endings of names
APOSTROPHE = re.compile(r"[^\W\d_]{1,20}’[^\W\d_]+|(?<!\w)’[\u0370-\u03ff]")
CONTRACTION = re.compile(
    r"\w+’s|\w*n’t|I’m|(i|you|we|they|s?he|it|who|that|there)’(d|ll|ve|re)|(sh|c|w)ould’ve", re.IGNORECASE
)
ELISION = re.compile(
    r".+’s|\w*n’t|([ldjnscmto]|\w*qu|\w*ll|\w*un|\w*st)’[haeiouyàâäèéêëìîïòôöùûüœæ].*"
    r"|[A-ZÇĞİÖŞÜ]\w*’\w+|[\u0370-\u04ff]+’.+",
    re.IGNORECASE,
)
# one key in the tables: the capital I with a dot, comma and cedilla of Romanian and Turkish
SAME = {"İ": "i", "ș": "ş", "Ș": "ş", "Ş": "ş", "ț": "ţ", "Ț": "ţ", "Ţ": "ţ"}
BOX = (20, 20, 15)  # of lines and blocks; 8 beside each other


class Reading(NamedTuple):
    "What one encoding makes of the sample"

    cost: float  # bits, the rarity of the encoding included
    mean: float  # bits a pair of characters, without it
    codec: str
    language: str  # that suits it best
    is_usual: bool  # whether the encoding is made for that language
    text: str


@dataclass
class Decoded:
    "A text and how it was found"

    text: str
    encoding: str  # as it is shown: utf-8, utf-16-le, cp1252
    notes: list[str] = field(default_factory=list)  # for a guess: the words that it decides


def decode(
    data: bytes,  # all of a text file
    source: str,  # its name, for messages
    encoding: str | None = None,  # a codec of Python; default: found
) -> Decoded:
    """Return the text of a file.

    Raises `UserError` if the bytes are no text, do not fit the encoding, or fit several that read different words.
    """
    refuse_binary(data, source)
    if encoding is not None:
        return decode_as(data, source, encoding)
    if mark := find_mark(data):
        return Decoded(decode_strictly(data[len(mark[0]) :], source, mark[1]), mark[1])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        return decode_foreign(data, source, e.start)
    if b"\0" in data and count_controls(data) > 0.05 and (wide := find_wide(data)):
        return decode_wide(data, source, wide)
    if text.isascii() and (escaped := decode_escaped(data, source)):
        return escaped
    refuse_controls(data, source, 0.1)
    return Decoded(text, "utf-8")


# ---- what is certain


def refuse_binary(
    data: bytes,  # all of a file
    source: str,  # its name
):
    "Raise `UserError` if the file starts like a known binary format"
    name = next((name for at, mark, name in SIGNATURES if data.startswith(mark, at)), None)
    if name is None and any(byte in CONTROLS for byte in data[:1000]):
        name = next((name for at, mark, name in ASCII_SIGNATURES if data.startswith(mark, at)), None)
    if name:
        ending = re.search(r"\.\w{1,8}$", source)
        though = f", though its name ends in {ending[0]}" if ending else ""
        raise UserError(f"{source}: is {name}{though}, not text. Export or unpack it as UTF-8 text.")


def find_mark(
    data: bytes,  # all of a file
) -> tuple[bytes, str] | None:
    "Return the byte order mark at the start and its encoding, or None"
    for mark, codec in MARKS:
        if data.startswith(mark) and not (codec == "utf-32-le" and len(data) % 4):
            return mark, codec
    return None


def decode_as(
    data: bytes,  # all of a file
    source: str,  # its name
    encoding: str,  # written by a person
) -> Decoded:
    "Return the text in a given encoding. Raises `UserError` if there is no such text encoding or a byte does not fit."
    codec = find_codec(source, encoding)
    mark, marked = find_mark(data) or (b"", codec)
    family = codec.removesuffix("-sig")
    if not marked.startswith(family) and not (family == "utf-16-le" == marked):
        raise UserError(
            f"{source}: starts with the byte order mark of {marked}, but encoding = {encoding}. "
            f"Write encoding = {marked}, or leave it out."
        )
    if family in ("utf-16", "utf-32") and not mark:
        marked = next((wide for wide in find_wides(data) if wide.startswith(family)), None)
        if marked is None:
            raise UserError(f"{source}: has no byte order mark. Write encoding = {family}-le or {family}-be.")
    codec = marked.removesuffix("-sig")
    text = decode_strictly(data[len(mark) :], source, codec)
    return Decoded(text, codec, note_doubts(data, codec, text))


def note_doubts(
    data: bytes,  # all of a file
    codec: str,  # written by a person
    text: str,  # what it reads
) -> list[str]:
    "Return notes on a given encoding that reads control characters, or UTF-8 letter by letter"
    if codec == "utf-8" or text.isascii():
        return []
    if control := UNTEXT.search(text):
        return [
            f"{codec} reads control characters or none at all, such as 0x{ord(control[0]):02x} in line "
            f"{count_lines(text[: control.start()])}; files from Windows are cp1252 or similar"
        ]
    if codec in (*CANDIDATES, "iso8859-1") and is_utf8(data):
        return [
            f"decoded as {codec} as told, but the file is UTF-8: {codec} reads {quote_words(foreign_words(text, 2))}"
        ]
    return []


def is_utf8(
    data: bytes,  # all of a file
) -> bool:
    "Return whether all bytes are UTF-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def find_codec(
    source: str,  # the name of the file
    encoding: str,  # written by a person
) -> str:
    "Return Python's name of a text encoding. Raises `UserError` if there is none."
    try:
        info = codecs.lookup(encoding.strip())
    except (LookupError, ValueError):
        raise UserError(
            f"{source}: there is no encoding {encoding!r}.{did_you_mean(encoding.lower(), known_codecs())} "
            "Write a codec of Python, such as utf-8, cp1252 or utf-16."
        ) from None
    if not info._is_text_encoding or info.name.replace("_", "-") in NOT_FOR_FILES:
        raise UserError(
            f"{source}: encoding = {encoding} turns bytes into other bytes or rewrites text; it is no encoding "
            "of a text file. Write a codec such as utf-8 or cp1252."
        )
    return info.name


def known_codecs() -> list[str]:
    "Return the names that a person may have meant"
    from encodings.aliases import aliases

    names = {
        *CANDIDATES,
        *WIDE,
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-32",
        "latin-1",
        "ascii",
        "shift_jis",
        "gbk",
        "big5",
    }
    return [*sorted(names), *sorted({*aliases} - names)]


def decode_strictly(
    data: bytes,  # without a byte order mark
    source: str,  # the name of the file
    codec: str,  # a name that Python knows
    advice: str = "",  # what to write instead
) -> str:
    "Return the text. Raises `UserError` with line, byte and context if a byte does not fit."
    try:
        return data.decode(codec)
    except UnicodeDecodeError as e:
        raise UserError(
            f"{describe_fault(data, source, codec, e)} {advice or 'Write another encoding, or mend the file.'}"
        ) from None


def describe_fault(
    data: bytes,  # that did not decode
    source: str,  # the name of the file
    codec: str,  # that failed
    error: UnicodeDecodeError,  # the first fault
) -> str:
    "Return where a byte does not fit and what stands around it"
    before = data[: error.start].decode(codec, "replace")
    after = data[error.end : error.end + 80].decode(codec, "backslashreplace")
    after = re.split(r"[\r\n]", after)[0][:15].rstrip()
    before_it = last_words(before)
    around = f"after {before_it!r}" if before_it else f"before {after!r}" if after.strip() else "alone in its line"
    line = count_lines(before)
    fault = (
        f"{source}, line {line}: byte 0x{data[error.start]:02x} is not {codec.upper() if codec == 'utf-8' else codec}"
    )
    if is_cut(data, codec, error):
        return f"{fault} ({around}): the file ends in the middle of a character, as if cut off."
    return f"{fault} ({around})."


def last_words(
    before: str,  # the text up to a fault
) -> str:
    "Return the end of the last line, up to 20 characters"
    return re.split(r"[\r\n]", before[-200:])[-1][-20:].lstrip()


def count_lines(
    before: str,  # the text up to a fault
) -> int:
    "Return the number of its last line, from 1"
    return before.count("\n") + (0 if "\n" in before else before.count("\r")) + 1


def is_cut(
    data: bytes,  # that did not decode
    codec: str,  # that failed
    error: UnicodeDecodeError,  # the first fault
) -> bool:
    "Return whether only the last character is not complete"
    try:
        codecs.getincrementaldecoder(codec)().decode(data[error.start :])
    except UnicodeDecodeError:
        return False
    return len(data) - error.start < 8


# ---- UTF-16 and UTF-32 without a mark


def find_wides(
    data: bytes,  # all of a file
) -> list[str]:
    "Return the encodings of two and four bytes that read plausible text, the best first"
    start = len(data) // 3 // 4 * 4
    pieces = [data[:40_000], data[start : start + 40_000]]
    share = {codec: min(price_wide(piece, codec) for piece in pieces) for codec in WIDE}
    return sorted((codec for codec in WIDE if share[codec] > 0), key=lambda codec: -share[codec])


def find_wide(
    data: bytes,  # all of a file
) -> str | None:
    "Return the encoding of two or four bytes that is plausible, or None"
    return next(iter(find_wides(data)), None)


def price_wide(
    piece: bytes,  # from the file, aligned to four bytes
    codec: str,  # such as utf-16-le
) -> float:
    "Return how plausible the reading is: 0 for no text, else the share of ASCII, plus 1 for UTF-32"
    try:
        text = codecs.getincrementaldecoder(codec)().decode(piece)
    except UnicodeDecodeError:
        return 0
    if not text:
        return 0
    counts = Counter(text)
    odd = sum(
        n
        for c, n in counts.items()
        if c not in "\t\n\r\f\x1b\ufeff" and unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs")
    )
    plain = sum(n for c, n in counts.items() if c.isascii())
    if odd * 50 > len(text) or not plain or not is_one_script(counts):
        return 0
    return plain / len(text) + codec.startswith("utf-32")


def is_one_script(
    counts: Counter,  # characters of a text
) -> bool:
    "Return whether the characters outside ASCII are of few blocks, or frequent in Chinese, Japanese or Korean"
    foreign = {c: n for c, n in counts.items() if not c.isascii()}
    total = sum(foreign.values())
    blocks = Counter()
    for c, n in foreign.items():
        blocks[ord(c) >> 8] += n
    frequent = max(sum(n for c, n in foreign.items() if c in TABLE[language]) for language in IDEOGRAPHIC)
    return sum(n for _, n in blocks.most_common(3)) >= 0.8 * total or frequent >= 0.25 * total


def decode_wide(
    data: bytes,  # all of a file
    source: str,  # its name
    codec: str,  # found by zero bytes
) -> Decoded:
    "Return the text with a note"
    text = decode_strictly(data, source, codec).removeprefix("\ufeff")
    words = quote_words(foreign_words(text))
    return Decoded(text, codec, [f"decoded as {codec}, found without a byte order mark{words and ': '}{words}"])


# ---- control characters and escapes


def count_controls(
    data: bytes,  # all of a file
) -> float:
    "Return the share of control bytes, from up to three pieces"
    pieces = b"".join(data[at : at + 50_000] for at in sorted({0, len(data) // 2, max(0, len(data) - 50_000)}))
    return (len(pieces) - len(pieces.translate(None, CONTROLS))) / max(1, len(pieces))


def refuse_controls(
    data: bytes,  # all of a file
    source: str,  # its name
    limit: float,  # share that is still text
):
    "Raise `UserError` if control bytes are too many for a text"
    if (share := count_controls(data)) > limit:
        raise UserError(
            f"{source}: {share:.0%} of its bytes are control characters: binary data. Export it as UTF-8 text."
        )


def decode_escaped(
    data: bytes,  # pure ASCII bytes
    source: str,  # the name of the file
) -> Decoded | None:
    "Return a text that switches its alphabets by escape sequences (ISO-2022) or by ~{ (HZ), or None"
    escaped = re.search(rb"\x1b\$[@B]|\x1b\$\([A-Z]|\x1b\$\)C|\x1b\([IJ]", data) if b"\x1b" in data else None
    hz = b"~" in data and b"~{" in data and b"~}" in data
    for codec in (*(ESCAPED if escaped else ()), *(("hz",) if hz else ())):
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        reading = price(text, [codec])
        if foreign_words(text) and reading.mean <= DEAREST:
            return Decoded(text, codec, [note_guess(codec, text)])
    if escaped:
        raise UserError(
            f"{source}: has escape sequences of ISO-2022, but does not decode as such. Save it as UTF-8, "
            "or write encoding = utf-8 if they are meant to stay."
        )
    return None


# ---- neither UTF-8 nor marked


def decode_foreign(
    data: bytes,  # not UTF-8
    source: str,  # the name of the file
    start: int,  # of the first byte that is not UTF-8
) -> Decoded:
    "Return the text in UTF-16, UTF-32 or a legacy encoding. Raises `UserError` for broken UTF-8."
    if b"\0" in data and (wide := find_wide(data)):
        return decode_wide(data, source, wide)
    refuse_controls(data, source, 0.03)
    valid, bad = count_utf8(data)
    if valid >= bad:
        refuse_broken(data, source, valid, bad)
    return guess(data, source, valid)


def count_utf8(
    data: bytes,  # not UTF-8
) -> tuple[int, int]:
    "Return the numbers of characters of several bytes and of places that are not UTF-8"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    valid = bad = 0
    for at in range(0, len(data), 1 << 22):
        text = decoder.decode(data[at : at + (1 << 22)], final=at + (1 << 22) >= len(data))
        replaced = text.count("\ufffd")
        bad += replaced
        valid += len(text) - len(text.encode("ascii", "ignore")) - replaced
        if bad > 10 * valid + 100_000:
            break
    written = data.count(b"\xef\xbf\xbd") if valid * 2 >= bad else 0  # the replacement character itself
    return valid + written, bad - written


def refuse_broken(
    data: bytes,  # mostly UTF-8
    source: str,  # the name of the file
    valid: int,  # characters of several bytes
    bad: int,  # places that are not UTF-8
):
    "Raise `UserError` for UTF-8 with bytes that are not"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        more = f" {bad - 1} more such place{'s' if bad > 2 else ''}." if bad > 1 else ""
        right = (
            f"the other {valid} character{'s' if valid > 1 else ''} outside ASCII {'are' if valid > 1 else 'is'} UTF-8"
        )
        raise UserError(
            f"{describe_fault(data, source, 'utf-8', e)}{more} Save the file as UTF-8, or write encoding = cp1252 "
            f"if all of it was saved on Windows ({right})."
        ) from None


# ---- the guess


def guess(
    data: bytes,  # in a legacy encoding
    source: str,  # the name of the file
    valid: int,  # characters that happen to be UTF-8
) -> Decoded:
    "Return the text in the encoding that reads best. Raises `UserError` unless its lead is clear."
    readings = rank_readings(sample := sample_bytes(data), len(sample) >= SAMPLE, weigh_languages(data))
    if not readings or readings[0].mean > DEAREST:
        refuse_unknown(source, readings)
    best = readings[0]
    if valid and len(bytes(range(256)).decode(best.codec, "replace")) == 256:  # one byte a character
        refuse_mixed(data, source, best.codec)
    if has_faults(best):
        refuse_unknown(source, readings)
    if len(readings) > 1 and readings[1].cost - best.cost < LEAD:
        refuse_unclear(source, best, readings[1])
    advice = f"The rest reads as {best.codec}. Save the file as UTF-8."
    text = decode_strictly(data, source, best.codec, advice)
    if odd := UNTEXT.search(text):
        before = text[: odd.start()]
        raise UserError(
            f"{source}, line {count_lines(before)}: a character that is no text (after {last_words(before)!r}), "
            f"though the rest reads as {best.codec}. Save the file as UTF-8."
        )
    return Decoded(text, best.codec, [note_guess(best.codec, text)])


def has_faults(
    reading: Reading,  # the best
) -> bool:
    "Return whether the language is not one of the encoding, or over 5 % of its letters are foreign or out of place"
    if not reading.is_usual and reading.language not in GROUPS[0].split():
        return True
    text = unicodedata.normalize("NFC", reading.text)
    letters = Counter(SAME.get(c, c.lower()) for c in text if not c.isascii() and c.isalpha())
    own = set().union(*(ALPHABET[language] for language in relatives(reading.language)))
    foreign = sum(
        n for c, n in letters.items() if c not in own and script(c) in ("LATIN", "CYRILLIC", "GREEK", "MICRO")
    )
    is_cyrillic = reading.language in CYRILLIC.split()  # whose languages borrow no letters
    pairs = Counter(zip(text, text[1:]))
    capitals = sum(n for (a, b), n in pairs.items() if not (a + b).isascii() and is_mid_word(classify(a), classify(b)))
    symbols = sum(1 if c in "“”„«»" else 5 for c in IN_WORD.findall(text))  # endings follow quotes in some languages
    faults = foreign * (2 if is_cyrillic else 1) + symbols + 2 * capitals
    return faults * 20 > sum(letters.values())


def is_mid_word(left: "Kind", right: "Kind") -> bool:
    "Return whether a capital follows a small letter"
    return right.capital and left.letter and not left.capital


def relatives(
    language: str,  # of TABLES
) -> list[str]:
    "Return the languages whose letters may stand in one file with a language"
    group = next((group for group in GROUPS if language in group.split()), language)
    return [*group.split(), "en"] if language in LATIN else group.split()


def sample_bytes(
    data: bytes,  # all of a file
) -> bytes:
    "Return up to 200 kB of distinct words with bytes outside ASCII, from all parts of the file, with every such byte"
    words = {}  # in their order, each once
    for part in range(STRIDES):
        start = len(data) * part // STRIDES
        start = next_word(data, start) if part else 0
        collect_words(data, start, len(data) * (part + 1) // STRIDES, SAMPLE // STRIDES, words)
    seen = b"".join(words)
    rest = data.translate(None, bytes(range(128)) + bytes(set(seen)))
    for byte in sorted(set(rest[:1_000_000])):
        at = data.find(bytes([byte]))
        collect_words(data, previous_word(data, at), len(data), 400, words)
    return b"\n".join(words)


def next_word(data: bytes, start: int) -> int:
    "Return where the next word starts, at or after an offset"
    found = SAFE.search(data, start, start + SAMPLE)
    return found.start() if found else len(data)


def previous_word(data: bytes, start: int) -> int:
    "Return where the word at an offset starts"
    found = [m.start() for m in SAFE.finditer(data, max(0, start - 4000), start)]
    return found[-1] if found else max(0, start - 4000)


def collect_words(
    data: bytes,  # all of a file
    start: int,  # where a word starts
    stop: int,  # where to end
    room: int,  # bytes to collect at most
    words: dict,  # that are added to
):
    "Collect words with bytes outside ASCII, each with the byte before and after"
    while room > 0 and (hit := HIGH.search(data, start, stop)):
        left = max(start, hit.start() - 40)
        spaces = [m.start() for m in SAFE.finditer(data, left, hit.start())]
        begin = spaces[-1] if spaces else left
        end = SAFE.search(data, hit.end(), hit.end() + SAMPLE)
        word = data[begin : end.end() if end else len(data)]
        if len(word) <= SAMPLE // STRIDES or not words:
            room -= len(word) / 4 if word in words else len(word)
            words[word[:SAMPLE]] = None
        start = end.start() if end else len(data)


def weigh_languages(
    data: bytes,  # all of a file
) -> dict[str, float]:
    "Return bits to pay for languages whose ASCII words the file lacks, and for other scripts in an ASCII file"
    pieces = b" ".join(data[at : at + 4000] for at in range(0, len(data), len(data) // STRIDES + 1))
    words = {word.decode() for word in re.findall(rb"(?<![\x80-\xff\w])[a-z]{2,9}(?![\x80-\xff\w])", pieces.lower())}
    hits = {language: len(words & set(common.split())) for language, common in COMMON.items()}
    most = max(*hits.values(), min(6, len(words) // 15))  # a text of 90 words has six of them, at the least
    letters = len(re.findall(rb"[a-zA-Z]", pieces))
    foreign = FOREIGN if len(HIGH.findall(pieces)) * 6 < letters else 0
    other = dict.fromkeys(TABLE.keys() - {*LATIN}, foreign)
    unspoken = min(3, len(words) // 60)
    return other | {
        language: UNSPOKEN if n < unspoken and language not in GROUPS[0].split() else min(3.0 * (most - n), 15.0)
        for language, n in hits.items()
    }


def rank_readings(
    sample: bytes,  # words with bytes outside ASCII
    cut: bool,  # whether it may end in the middle of a character
    evidence: dict[str, float],  # bits to pay for a language
) -> list[Reading]:
    "Return what the encodings make of a sample, different texts only, the most plausible first"
    names = {}  # text -> codecs that read it
    for codec in CANDIDATES:
        try:
            text = codecs.getincrementaldecoder(codec)().decode(sample, final=not cut)
        except UnicodeDecodeError:
            continue
        names.setdefault(text, []).append(codec)
    return sorted(price(text, codecs_of, evidence) for text, codecs_of in names.items())


def price(
    text: str,  # a sample as some encodings read it
    names: list[str],  # these encodings, the first names them all
    evidence: dict[str, float] | None = None,  # bits to pay for a language that the rest of the file does not speak
) -> Reading:
    "Return the cost of a reading in the language that suits it best"
    evidence = evidence or {}
    fixed, pairs, total = count_pairs(unicodedata.normalize("NFC", text))
    spent = {language: fixed + sum_bits(pairs, language) for language in TABLE}
    naturals = [(rarity, natural.split()) for rarity, natural in (CANDIDATES.get(name, (0, "")) for name in names)]
    cost, language, is_usual = min(
        (
            rarity + evidence.get(language, 0) + spent[language] + (0 if usual else UNUSUAL.get(language, 20)),
            language,
            usual,
        )
        for rarity, natural in naturals
        for language in TABLE
        for usual in [language in natural]
    )
    return Reading(cost, min(spent.values()) / max(1, total), names[0], language, is_usual, text)


def sum_bits(
    pairs: Counter,  # of letters
    language: str,  # of TABLE
) -> float:
    "Return the bits of all pairs in a language"
    table, letters = TABLE[language], ALPHABET[language]
    bits = 0.0
    for pair, n in pairs.items():
        cost = table.get(pair)
        if cost is None:
            cost = miss(pair)
            if cost > NEAR and letters.issuperset(pair):
                cost = NEAR
        bits += n * cost
    return bits


def count_pairs(
    text: str,  # normalised
) -> tuple[float, Counter, int]:
    "Return bits that no language changes, pairs of letters in lower case, and the number of both"
    fixed, pairs, total = count_faults(text), Counter(), 0
    for (a, b), n in Counter(zip(f"\n{text}", f"{text}\n")).items():
        if a.isascii() and b.isascii():
            continue
        bits, keys = weigh(a, b)
        fixed += n * bits
        total += n * max(1, len(keys))
        for key in keys:
            pairs[key] += n
    return fixed, pairs, total


def count_faults(
    text: str,  # normalised
) -> float:
    "Return the bits of symbols and apostrophes inside words that do not stand there in any language"
    words = APOSTROPHE.findall(text) if "’" in text else []
    odd = sum(not (ELISION.fullmatch(word) or CONTRACTION.fullmatch(word)) for word in words)
    usual = sum(bool(CONTRACTION.fullmatch(word)) for word in words)
    return 10.0 * len(IN_WORD.findall(text) + LONE.findall(text)) + 8.0 * odd - 6.0 * usual


@lru_cache(maxsize=200_000)
def weigh(
    a: str,  # a character
    b: str,  # the next
) -> tuple[float, tuple[str, ...]]:
    "Return the bits of symbols and of a wrong case between two characters, and the letters to look up in the tables"
    left, right = classify(a), classify(b)
    bits = weigh_symbol(a, left, b, right)
    if not (left.letter or right.letter):
        return bits, ()
    if left.ideograph or right.ideograph:
        keys = tuple(c.key for c in (left, right) if c.ideograph)
        mixed = left.letter and right.letter and not (left.ideograph and right.ideograph)
        return bits + 8 * mixed, keys
    if left.key.isascii() and right.key.isascii():  # a symbol beside ASCII, or the capital I with a dot
        return bits + 8 * (left.letter and right.letter) + weigh_case(left, right), ()
    return bits + weigh_case(left, right), (left.key + right.key,)


def weigh_symbol(a: str, left: "Kind", b: str, right: "Kind") -> float:
    "Return the bits of symbols outside ASCII beside each other, a letter or anything else"
    bits = 0.0
    if left.bits == right.bits == BOX:
        return 16
    if not left.letter and not a.isascii():
        bits += left.bits[1 if right.letter else 2]
    if not right.letter and not b.isascii():
        bits += right.bits[0 if left.letter else 2]
    return bits


def weigh_case(left: "Kind", right: "Kind") -> float:
    "Return the bits of a capital: cheap at the start of a word, in a word of capitals; dear after a small letter"
    if is_mid_word(left, right):
        return 12
    return right.capital * (1 if left.letter else 2)


class Kind(NamedTuple):
    "What a character is in a word"

    key: str  # in lower case, "_" if it is no letter
    letter: bool
    capital: bool = False
    ideograph: bool = False  # Chinese, Japanese, Korean: looked up alone
    bits: tuple[float, float, float] = (0, 0, 0)  # of a symbol: after a letter, before a letter, else


@lru_cache(maxsize=100_000)
def classify(c: str) -> Kind:
    "Return what a character is in a word"
    category = unicodedata.category(c)
    if c in SYMBOLS:
        return Kind("_", False, bits=SYMBOLS[c])
    if script(c) in IDEOGRAPHS:
        return Kind(c, True, ideograph=True)
    if category[0] == "L" and c not in "ªº" or category[0] == "M":
        return Kind(SAME.get(c, c.lower()), True, capital=category == "Lu")
    if c.isascii():
        return Kind("_", False)
    if 0x2500 <= ord(c) < 0x25A0:  # lines and blocks
        return Kind("_", False, bits=BOX)
    return Kind("_", False, bits=(24, 24, 24) if category[0] == "C" else (18, 18, 14))


@lru_cache(maxsize=100_000)
def script(c: str) -> str:
    "Return the first word of a character's Unicode name: LATIN, CYRILLIC, CJK"
    return unicodedata.name(c, "NONE").split()[0]


@lru_cache(maxsize=200_000)
def miss(
    key: str,  # two letters, or an ideograph
) -> float:
    "Return the bits of letters that a language's table lacks"
    if key in ANY:
        return ANY[key] + 5
    if len(key) == 1:
        return miss_ideograph(key)
    known = [c for c in key if c != "_"]
    if any(unicodedata.category(c) == "Mn" and script(c) in ("HEBREW", "ARABIC") for c in key):
        return NEAR  # vowel points
    if len({script(c) for c in known}) > 1 or any(c not in LETTERS and not c.isascii() for c in known):
        return STRANGE
    return MISS


def miss_ideograph(c: str) -> float:
    "Return the bits of a character of Chinese, Japanese or Korean that no table has: less if a basic set has it"
    for codec, last in (("gb2312", 0xD7), ("shift_jis", 0x97), ("big5", 0xC6), ("euc_kr", 0xC8)):
        try:
            code = c.encode(codec)
        except UnicodeEncodeError:
            continue
        if len(code) == 2 and code[0] <= last:
            return 12.5
    return 15


def parse_table(
    table: str,  # of TABLES
    size: int,  # letters of an entry
) -> dict[str, float]:
    "Return the bits of each entry"
    return {
        group[i : i + size]: octave + 3.5
        for octave, group in enumerate(table.split(" "))
        for i in range(0, len(group), size)
    }


IDEOGRAPHS = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "HALFWIDTH", "FULLWIDTH", "IDEOGRAPHIC")
LATIN = ("en", *COMMON)
# languages that often stand in one file
GROUPS = ("en fr de es pt it ca nl sv da nb fi et", "ru uk be bg", "sr mk", "cs sk", "hr sl", "ar fa ur")
# letters of names and loanwords, too rare for the tables
RARE = {
    "en": "áàâäåæçéèêëíîïñóôöøœúûü",
    "fr": "àâæçéèêëïîôœùûüÿñáíóö",
    "de": "äöüßéèàêçñ",
    "nl": "áàäâçéèêëíïîóòöôúüûñ",
    "it": "àáèéìíîòóùúçñü",
    "es": "áéíñóúüçàèïöä",
    "pt": "áàâãçéêíóôõúüñè",
    "sv": "åäöéüàèç",
    "da": "æøåéüöäóàèñ",
    "nb": "æøåéóòôüöäàèêñ",
    "fi": "åäöšžéü",
    "et": "äõöüšžé",
    "hr": "čćđšžéöüáó",
    "sl": "čšžćđéöüá",
    "pl": "ąćęłńóśźżéöüáčšž",
    "cs": "áčďéěíňóřšťúůýžöüäľ",
    "sk": "áäčďéíĺľňóôŕšťúýžöüěř",
    "hu": "áéíóöőúüűäčš",
    "ro": "ăâîşţéöüáő",
    "lt": "ąčęėįšųūžéöüäół",
    "lv": "āčēģīķļņšūžōŗéöü",
    "tr": "çğıöşüâîûé",
    "is": "áðéíóúýþæöåüø",
    "ca": "àçèéíïòóúüñ",
    "sq": "çëéèü",
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюяѝ",
    "mk": "абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ",
    "sr": "абвгдђежзијклљмнњопрстћуфхцчџш",
    "el": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώϊϋΐΰς",
    "vi": "đàáãảạăằắẵẳặâầấẫẩậèéẽẻẹêềếễểệìíĩỉịòóõỏọôồốỗổộơờớỡởợùúũủụưừứữửựỳýỹỷỵ",
}
IDEOGRAPHIC = ("zh_hans", "zh_hant", "ja", "ko")
TABLE = {language: parse_table(table, 1 if language in IDEOGRAPHIC else 2) for language, table in TABLES.items()}
LETTERS = {c for table in TABLES.values() for c in table}
ANY = {}  # pair -> bits in the language that has it most often
for _table in TABLE.values():
    for _pair, _bits in _table.items():
        ANY[_pair] = min(_bits, ANY.get(_pair, 99))


ALPHABET = {
    language: {
        *table.replace(" ", ""),
        *RARE.get(language, ""),
        *("_abcdefghijklmnopqrstuvwxyz" if language in LATIN else ""),
    }
    for language, table in TABLES.items()
}

# ---- words for a person


FOREIGN_LETTER = re.compile(r"[^\x00-\x7f]")


def foreign_words(
    text: str,  # decoded
    limit: int = 5,  # words at most
) -> list[str]:
    "Return the first different words with characters outside ASCII, shortened"
    words, at = {}, 0
    while len(words) < limit and (found := FOREIGN_LETTER.search(text, at)):
        before = re.search(r"[^\W_]*\Z", text[max(at, found.start() - 12) : found.start()])[0]
        after = re.match(r"[^\W_]*(?:[’'-][^\W_]+)*", text[found.start() + 1 : found.start() + 100])[0]
        word = before + found[0] + after
        words[word if len(word) <= 20 else f"{word[:20]}…"] = None
        at = found.end() + len(after)
    return list(words)


def quote_words(
    words: list[str],  # from the file
) -> str:
    "Return words in quotes"
    return ", ".join(f"'{word}'" for word in words)


def note_guess(
    codec: str,  # that was found
    text: str,  # that it reads
) -> str:
    "Return the note of a guess, with the first words that it decides"
    return f"decoded as {codec}: {quote_words(foreign_words(text))}"


def refuse_unclear(
    source: str,  # the name of the file
    best: Reading,
    second: Reading,
):
    "Raise `UserError` that names two readings, the more plausible first"
    one, two = first_difference(best.text, second.text)
    raise UserError(
        f"{source}: is not UTF-8, and its encoding is not clear: {best.codec} reads '{one}', {second.codec} '{two}'. "
        f"Write encoding = {best.codec}, or save the file as UTF-8."
    )


def first_difference(one: str, two: str) -> tuple[str, str]:
    "Return the first word that two readings of a sample differ in"
    for left, right in zip(one.split("\n"), two.split("\n")):
        if left != right:
            return left.strip(" \t\r,;:\"'<>=")[:20], right.strip(" \t\r,;:\"'<>=")[:20]
    return one[:20], two[:20]


def refuse_unknown(
    source: str,  # the name of the file
    readings: list[Reading],  # the most plausible first
):
    "Raise `UserError`: no encoding reads text"
    nearest = f" ({readings[0].codec} reads {quote_words(foreign_words(readings[0].text, 2))})" if readings else ""
    raise UserError(
        f"{source}: is not UTF-8, and no encoding reads it as text of a language that is known{nearest}. "
        "Save it as UTF-8, or write encoding = …"
    )


def refuse_mixed(
    data: bytes,  # all of a file
    source: str,  # its name
    codec: str,  # that reads best
):
    "Raise `UserError` if characters of UTF-8 stand among those of the encoding that reads best"
    pieces = {m[0] for m in re.finditer(rb"[\xc2-\xdf][\x80-\xbf]|\xe2[\x80-\x84][\x80-\xbf]", data[: 1 << 24])}
    for piece in sorted(pieces):
        first, *rest = (classify(c) for c in piece.decode(codec, "replace"))
        odd = any(not kind.letter and kind.bits[0] > 11 for kind in rest)
        if first.letter and odd and (piece.decode().isalpha() or len(piece) == 3):
            at = data.find(piece)
            raise UserError(
                f"{source}, line {data.count(bytes([10]), 0, at) + 1}: '{piece.decode('utf-8', 'replace')}' is UTF-8, "
                f"but most of the file is {codec}. Save the whole file as UTF-8."
            )
