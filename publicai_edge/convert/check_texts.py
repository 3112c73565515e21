"""The texts on which a converted embedding model is compared with its original.

Questions and sentences as a library hears them, in languages of several scripts, from one word to more than a
model reads (so that truncation is compared too).
"""

CHECK_TEXTS: tuple[str, ...] = (
    "library",
    "When does the library open on Saturday?",
    "Members may borrow twelve items for three weeks and renew them twice unless somebody else is waiting.",
    "How much does it cost to print a page in colour, and can I pay with a card?",
    "The reading room on the first floor is quiet; please take telephone calls in the entrance hall.",
    "Invoice no. 2024-117: 3 copies at 0,15 € = 0,45 €",
    "def borrow(item, days=21): return item.due + days",
    "¿Cuántos libros puedo llevarme a casa y durante cuánto tiempo?",
    "La sala infantil abre de lunes a viernes, de tres a seis de la tarde.",
    "Comment puis-je réserver une salle de réunion pour dix personnes ?",
    "La bibliothèque prête aussi des partitions, des films et des jeux de société.",
    "Wie melde ich mich an, wenn ich keinen festen Wohnsitz habe?",
    "Quanto tempo posso usar o computador sem fazer reserva?",
    "Maktaba hufunguliwa saa ngapi siku ya Jumamosi?",
    "Скільки коштує роздрукувати сторінку?",
    "Как продлить срок возврата книги по телефону?",
    "متى تفتح المكتبة أبوابها يوم السبت؟",
    "पुस्तकालय शनिवार को कब खुलता है?",
    "图书馆星期六几点开门\N{FULLWIDTH QUESTION MARK}",
    "本は何冊まで借りられますか。",
    "도서관 회원증을 만들려면 무엇이 필요한가요?",
    "ห้องสมุดเปิดวันเสาร์กี่โมง",
    "Thư viện mở cửa lúc mấy giờ vào thứ Bảy?",
    " ".join(
        f"Shelf {number} holds letters, maps and photographs that families of the valley gave to us in "
        f"the year {1870 + number}; they may be read here and copied, but not taken home."
        for number in range(1, 31)
    ),
)

ENGLISH_TEXTS: tuple[str, ...] = (*CHECK_TEXTS[:7], CHECK_TEXTS[-1])
