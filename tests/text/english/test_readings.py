"""Readings of figures, symbols and abbreviations."""

from __future__ import annotations

import pytest
from helpers.spoken_text import said


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("$1, $0.99, $1,000.00", "one dollar, ninety-nine cents, one thousand dollars"),
        (
            "$1.5 million, $2bn, €5k",
            "one point five million dollars, two billion dollars, five thousand euros",
        ),
        ("-$5, £2.01, US$3", "minus five dollars, two pounds and one penny, three US dollars"),
        ("$5-10 and $5-$10", "five to ten dollars and five to ten dollars"),
        ("$10/month", "ten dollars per month"),
        ("$20/mo., $5+, $.99", "twenty dollars per month, five dollars plus, ninety-nine cents"),
        ("€5,50, 5,50 €", "five euros and fifty cents, five euros and fifty cents"),
        (
            "1.234,50 €, 100 kr",
            "one thousand two hundred and thirty-four euros and fifty cents, one hundred kroner",
        ),
        (
            "A$10, NZ$4, 100 CAD",
            "ten Australian dollars, four New Zealand dollars, one hundred Canadian dollars",
        ),
        (
            "$1M–$2M, $900k-$1M",
            "one to two million dollars, nine hundred thousand dollars to one million dollars",
        ),
        ("₹1,00,000", "one hundred thousand rupees"),
        (
            "5 €, 3.50 EUR, USD 20, 99¢",
            "five euros, three euros and fifty cents, twenty dollars, ninety-nine cents",
        ),
        ("Rs. 500, Rs 500", "five hundred rupees, five hundred rupees"),
        ("kr 200, 50 CHF, 100 Kč", "two hundred kroner, fifty francs, one hundred korunas"),
        ("₱20, 1.4bn, 2.5mn", "twenty pesos, one point four billion, two point five million"),
        (
            "a $5 bill, $20 bills, a $5 million home, for $5 we",
            "a five dollar bill, twenty dollar bills, a five million dollar home, for five dollars we",
        ),
        (
            "$4.10–$4.30/share, $78/bbl",
            "four dollars and ten cents to four dollars and thirty cents per share, "
            "seventy-eight dollars per barrel",
        ),
        ("a $10-million deal", "a ten million dollar deal"),
    ],
)
def test_money(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("March 5, 2024", "March fifth, twenty twenty-four"),
        ("Mar. 5th", "March fifth"),
        ("5 March 2024", "fifth of March twenty twenty-four"),
        ("the 5th of May", "the fifth of May"),
        ("July 2024", "July twenty twenty-four"),
        ("2024-03-15", "March fifteenth, twenty twenty-four"),
        (
            "3/15/2024 and 12/25/99",
            "March fifteenth, twenty twenty-four and December twenty-fifth, nineteen ninety-nine",
        ),
        ("the 1990s, the '80s, the 1800s", "the nineteen nineties, the eighties, the eighteen hundreds"),
        (
            "in 1984, 2005 and 2010-2024",
            "in nineteen eighty-four, two thousand and five and twenty ten to twenty twenty-four",
        ),
        ("May I go?", "May I go?"),
        ("on Mon., Jan. 15th, in Feb. or", "on Monday, January fifteenth, in February or"),
        ("mid-1990s, a '67 Mustang", "mid-nineteen nineties, a sixty-seven Mustang"),
        ("the 90s, 80s music, for 30s", "the nineties, eighties music, for thirty seconds"),
        ("2024/03/15", "March fifteenth, twenty twenty-four"),
        ("2024-03-15T14:30:00Z", "March fifteenth, twenty twenty-four, fourteen thirty UTC"),
        ("Mon, Mar 4; Jan-Mar; Mon-Fri", "Monday, March fourth; January to March; Monday to Friday"),
        ("the 2023/24 season", "the twenty twenty-three, twenty-four season"),
        ("Sat in the sun, May", "Sat in the sun, May"),
        (
            "In 1066, he won (1066). Since 1066.",
            "In ten sixty-six, he won (ten sixty-six). Since ten sixty-six.",
        ),
        (
            "in 1050 cases, 1050 people in 1050 AD",
            "in one thousand and fifty cases, one thousand and fifty people in ten fifty AD",
        ),
        ("the last 90s, the next 80s", "the last ninety seconds, the next eighty seconds"),
        (
            "on 3/15 at 2, Mon 3/4, due 25/12",
            "on March fifteenth at two, Monday March fourth, due December twenty-fifth",
        ),
        ("on 1/2 of them, on 3/4-inch wood", "on one half of them, on three quarters-inch wood"),
        ("Sat 10am-2pm, Sun shines", "Saturday ten AM to two PM, Sun shines"),
        (
            "on 3/4 time, since 1/2, 12/25, 1-2-2020, 2020-1-2",
            "on three quarters time, since January second, December twenty-fifth, January "
            "second, twenty twenty, January second, twenty twenty",
        ),
        ("Mon: open, Wed.: closed", "Monday: open, Wednesday: closed"),
        ("1066 was hard. 1066 is it.", "ten sixty-six was hard. ten sixty-six is it."),
        ("May 5th-7th, 1st-3rd", "May fifth to seventh, first to third"),
    ],
)
def test_dates(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("3:30 p.m. today", "three thirty PM today"),
        ("at 5 p.m. However, no", "at five PM. However, no"),
        ("at 5pm.", "at five PM."),
        ("at 5 p.m. Monday", "at five PM Monday"),
        ("3:05", "three oh five"),
        ("9:00, 15:00, 0:00", "nine o'clock, fifteen hundred, midnight"),
        ("9am-5pm", "nine AM to five PM"),
        ("12:30:45", "twelve thirty and forty-five seconds"),
        ("10:30-11:45", "ten thirty to eleven forty-five"),
        ("9:00 AM - 5:00 PM", "nine AM to five PM"),
        ("10:00 GMT+2", "ten o'clock GMT plus two"),
        ("9.30am, 10.15 pm", "nine thirty AM, ten fifteen PM"),
        ("10:30Z, 1:05:30", "ten thirty UTC, one oh five and thirty seconds"),
        ("a 1:10 ratio, a scale of 1:24", "a one to ten ratio, a scale of one to twenty-four"),
        ("John 3:16, Psalm 23:1-3", "John three sixteen, Psalm twenty-three one to three"),
        ("16:00:51", "sixteen oh oh and fifty-one seconds"),
        (
            "1:30:00, a 5:30/km pace, 13:4-7",
            "one thirty, a five thirty per kilometer pace, thirteen four to seven",
        ),
    ],
)
def test_times(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("555-1234", "five five five, one two three four"),
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("1-800-555-1234", "one, eight hundred, five five five, one two three four"),
        ("978-3-16", "nine seven eight, three, one six"),
        ("+49 30 123456", "plus four nine, three zero, one two three four five six"),
        ("1-800-FLOWERS, 911", "one, eight hundred, FLOWERS, nine one one"),
        ("020 7946 0958", "zero two zero, seven nine four six, zero nine five eight"),
        (
            "4111 1111 1111 1111",
            "four one one one, one one one one, one one one one, one one one one",
        ),
        ("Your code is 4829, PIN 0042", "Your code is four eight two nine, PIN zero zero four two"),
        ("The code is 500 lines long", "The code is five hundred lines long"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("+44 (0)20 7946 0958", "plus four four, zero, two zero, seven nine four six, zero nine five eight"),
        (
            "(0)20 7946 0958, (020) 7946 0958",
            "zero, two zero, seven nine four six, zero nine five eight, zero two zero, seven nine four "
            "six, zero nine five eight",
        ),
        ("0800 123 456", "zero eight zero zero, one two three, four five six"),
        (
            "01632 960001, 030/901820",
            "zero one six three two, nine six zero zero zero one, zero three zero, nine zero one eight "
            "two zero",
        ),
        ("01 42 68 53 00", "zero one, four two, six eight, five three, zero zero"),
        ("1300 123 456", "one three zero zero, one two three, four five six"),
        ("4155552671, 8000000000", "four one five, five five five, two six seven one, eight billion"),
        (
            "Dial 999 or 112. Call 111 people.",
            "Dial nine nine nine or one one two. Call one hundred and eleven people.",
        ),
        (
            "New York, NY 10001, or 10001-1234",
            "New York, NY one zero zero zero one, or one zero zero zero one, one two three four",
        ),
        ("+14155552671", "plus one, four one five, five five five, two six seven one"),
        ("+447911123456", "plus four four seven, nine one one, one two three, four five six"),
    ],
)
def test_telephone_numbers(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1/2 cup, 3/4, 2 1/2, 3½", "one half cup, three quarters, two and a half, three and a half"),
        ("8/10, 24/7", "eight out of ten, twenty-four seven"),
        ("5 km, 1 km, 100 km/h", "five kilometers, one kilometer, one hundred kilometers per hour"),
        (
            "5-10 kg, 20°C, 5%, 5 m²",
            "five to ten kilograms, twenty degrees Celsius, five percent, five square meters",
        ),
        ("6 ft. tall, 5'10\"", "six feet tall, five foot ten"),
        ("It is 5 km. Next", "It is five kilometers. Next"),
        ("5 apples, 10 minutes", "five apples, ten minutes"),
        ("1h 30m, 5 ft 10 in", "one hour thirty minutes, five feet ten inches"),
        (
            "9.8 m/s², 5%-10%, +5%",
            "nine point eight meters per second squared, five to ten percent, plus five percent",
        ),
        (
            "2½ kg, 120/80 psi",
            "two and a half kilograms, one hundred and twenty over eighty pounds per square inch",
        ),
        ("30min-1h, 5mm–2cm", "thirty minutes to one hour, five millimeters to two centimeters"),
        ("'6' and 50/50", "'six' and fifty fifty"),
        ("seat 14A, 3 A's, 2 A levels", "seat fourteen A, three A's, two A levels"),
        (
            "3/20, 2/15, 1/10, 3/100 of it, 17/19",
            "three twentieths, two fifteenths, one tenth, three hundredths of it, seventeen over nineteen",
        ),
        ("2/3rds, 3/4ths, 1/8th", "two thirds, three quarters, one eighth"),
        ("4/5 stars, 4/5, 3/10 of it", "four out of five stars, four fifths, three tenths of it"),
        (
            "rated 1/10, scored 18/20, 9/11",
            "rated one out of ten, scored eighteen out of twenty, nine eleven",
        ),
        (
            "1,5 kg, 2,5-3,5 km, 1,500 kg",
            "one point five kilograms, two point five to three point five kilometers, one thousand "
            "five hundred kilograms",
        ),
        (
            "10 / 5, 6 / 2 = 3, 6/2=3",
            "ten over five, six divided by two equals three, six divided by two equals three",
        ),
        ("a 3'' pipe, 5/8\" bolt, 12″", "a three inch pipe, five eighths inch bolt, twelve inches"),
        ('a 27" screen, "I am 27" he said', 'a twenty-seven inch screen, "I am twenty-seven" he said'),
        ("6'2 tall, 6'4\"", "six foot two tall, six foot four"),
        ("10 x 20 x 30 cm, 3 x 5 inches", "ten by twenty by thirty centimeters, three by five inches"),
        ('8.5 x 11 in, an 8"x8" dish', "eight point five by eleven inches, an eight by eight inch dish"),
        (
            "100Mbit/s, 8 L/100 km, 5 m2",
            "one hundred megabits per second, eight liters per hundred kilometers, five square meters",
        ),
        ("50 tokens/s, 2 tsp. salt", "fifty tokens per second, two teaspoons salt"),
        ("a 50 lb bag, 50-lb bags, 50 lb of it", "a fifty pound bag, fifty pound bags, fifty pounds of it"),
        (
            "5 mg/kg/day, 3/day, 75k/yr",
            "five milligrams per kilogram per day, three per day, seventy-five thousand per year",
        ),
        ("a 30-yr loan, 6 mos, 2 x 400g", "a thirty year loan, six months, two times four hundred grams"),
        ("40.7° N, step 1/3, 80/20", "forty point seven degrees North, step one of three, eighty twenty"),
        (
            "gave 1/5 each, give it 4/5, 5/5, 0/5",
            "gave one fifth each, give it four out of five, five out of five, zero out of five",
        ),
        ("10s of people, 1s and 0s, –5°C", "tens of people, ones and zeros, minus five degrees Celsius"),
        (
            "1m 20s, 2.4/5.6 GB, -1/2",
            "one minute twenty seconds, two point four over five point six gigabytes, minus one half",
        ),
        (
            "a 45° turn, 90º, a (14-oz.) can",
            "a forty-five degree turn, ninety degrees, a (fourteen ounce) can",
        ),
        ("a 12' x 15' room", "a twelve by fifteen foot room"),
    ],
)
def test_measures(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (
            "v1.2.3, version 2.0, Python 3.11",
            "version one point two point three, version two point zero, Python three point eleven",
        ),
        ("1st, 22nd, #1, -5, ~5", "first, twenty-second, number one, minus five, about five"),
        ("1,234,567", "one million two hundred and thirty-four thousand five hundred and sixty-seven"),
        ("10-20", "ten to twenty"),
        ("2+2=4, 2*3*4, 5 * 3", "two plus two equals four, two times three times four, five times three"),
        ("GPT-4, COVID-19, MP3, 5G", "GPT four, COVID nineteen, MP three, five G"),
        ("sha 9f86d081884c7d659a", "sha 9f86d081884c7d659a"),
        ("a 3-year-old", "a three-year-old"),
        ("16:9, 8080:80", "sixteen to nine, eight thousand and eighty colon eighty"),
        ("10.0.0.1:80", "ten dot zero dot zero dot one colon eighty"),
        ("3.0e8, x^2", "three point zero times ten to the power of eight, x squared"),
        ("100,000+ users, v2.1+", "one hundred thousand plus users, version two point one plus"),
        ("~2GB, <$5, ≥3", "about two gigabytes, less than five dollars, at least three"),
        ("1 000 000, 12 000 km, 1'500", "one million, twelve thousand kilometers, one thousand five hundred"),
        (
            "In 2024 100 people, room 12 300 chairs",
            "In twenty twenty-four one hundred people, room twelve three hundred chairs",
        ),
        (
            ".5, 10⁶, 2³, 6×10^-3",
            "point five, ten to the power of six, two cubed, six times ten to the power of minus three",
        ),
        ("5x faster, 2x + 1, 4x4, 1080p", "five times faster, two x plus one, four by four, ten eighty p"),
        (
            "5M views, 2.3B people, a 7B model",
            "five million views, two point three billion people, a seven B model",
        ),
        (
            "5-3=2, a <= b, π ≈ 3.14",
            "five minus three equals two, a is at most b, π is about three point one four",
        ),
        ("CO₂, 0xFF, 401(k), 2-for-1", "CO two, zero X F F, four oh one k, two-for-one"),
        ("GPT-3.5-turbo, HTTP/2", "GPT three point five turbo, HTTP two"),
        ("#MeToo, @user, ls --all -l", "hashtag MeToo, at user, ls dash dash all dash l"),
        ("Settings > Privacy, Ctrl+C", "Settings , Privacy, Control C"),
        ("§§ 3–4, ©2024, № 5", "sections three to four, copyright twenty twenty-four, number five"),
        (
            "v2.0.0-rc.1, 1.2.3-beta",
            "version two point zero point zero R C one, one point two point three beta",
        ),
        (
            "2x is 10, 3T MRI, 2T disk, 5T tokens",
            "two x is ten, three tesla MRI, two T disk, five trillion tokens",
        ),
        (
            "10 200 300, 1 234 567",
            "ten two hundred three hundred, one million two hundred and thirty-four thousand five "
            "hundred and sixty-seven",
        ),
        ("100:1, 1:1000", "one hundred to one, one to one thousand"),
        ("a->b, A→B, x->5", "a to b, A to B, x to five"),
        ("n=30, a==b, k != 2", "n equals thirty, a equals b, k is not equal to two"),
        (
            "2^n, e^-x, 3x² − 5x, x**2",
            "two to the power of n, e to the power of minus x, three x squared minus five x, x squared",
        ),
        (
            "7 − 3 = 4, 3/4 = 0.75 = 75%",
            "seven minus three equals four, three quarters equals zero point seven five equals "
            "seventy-five percent",
        ),
        ("5 × 10^24 kg", "five times ten to the power of twenty-four kilograms"),
        ("00:1A:2B:3C:4D:5E", "zero zero, one A, two B, three C, four D, five E"),
        ("fe80::1, commit 3f2a1bc", "F E eight zero colon colon one, commit three F two A one B C"),
        ("1920 x 1080, @user_name1", "nineteen twenty by ten eighty, at user underscore name one"),
        ("15 min | 1 h", "fifteen minutes , one hour"),
        (
            "5%  +/- 1, +/-5, p<.05",
            "five percent  plus or minus one, plus or minus five, p is less than point zero five",
        ),
        (
            "x = y / z, day / night, (3 + 4) * 2",
            "x equals y over z, day , night, (three plus four) times two",
        ),
        (
            "invoice #10234, order no. 55821",
            "invoice number one zero two three four, order number five five eight two one",
        ),
        (
            "2x2=4, 7-11, 60-40, 60-80",
            "two times two equals four, seven eleven, sixty forty, sixty to eighty",
        ),
        ("decade90, face1234, @5pm", "decade ninety, face twelve thirty-four, at five PM"),
        ("401k, 1-800", "four oh one k, one eight hundred"),
        ("200x, (5x faster)", "two hundred times, (five times faster)"),
        (
            "3-4x, 10×, ×10, Ryzen 5800X",
            "three to four times, ten times, times ten, Ryzen five thousand eight hundred X",
        ),
        (
            "1.234.567, HTTP/1.1",
            "one million two hundred and thirty-four thousand five hundred and sixty-seven, "
            "HTTP one point one",
        ),
        (
            "pages 10 - 12, 2019 - 2021, 10 - 3, a 3 - 1 win",
            "pages ten to twelve, twenty nineteen to twenty twenty-one, ten minus three, a three to one win",
        ),
        (
            "2x² - 5x, 3x - 5 = 10, what is 3 - 5?",
            "two x squared minus five x, three x minus five equals ten, what is three minus five?",
        ),
        ("We have 3 - maybe 4 - here, well - 5", "We have three - maybe four - here, well - five"),
    ],
)
def test_other_figures(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("https://www.example.com/docs/?q=1.", "example dot com slash docs."),
        ("me.too@example.com,", "me dot too at example dot com,"),
        ("README.md and Node.js", "README dot MD and Node dot JS"),
        ("No space.Then more.", "No space.Then more."),
        ("/etc/nginx.conf, .env", "slash etc slash nginx dot conf, dot env"),
        ("src/app.tsx", "SRC slash app dot TSX"),
        (r"C:\Users\me", "C colon backslash Users backslash me"),
        ("localhost:3000", "localhost colon three thousand"),
        ("git@a.com:b/c.git", "git at a dot com colon B slash C dot git"),
        ("Wait... what", "Wait... what"),
        ('Hi .How is .Net? "So".Then', 'Hi .How is dot Net? "So".Then'),
        ("main.rs:42:13", "main dot RS colon forty-two colon thirteen"),
    ],
)
def test_addresses(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Dr. Smith and Mr. and Mrs. Jones", "Doctor Smith and Mr. and Missus Jones"),
        ("Main St. Then St. John", "Main Street. Then Saint John"),
        ("The U.S. Army met. He left the U.S. The end.", "The US Army met. He left the US. The end."),
        ("fruit, e.g. apples, i.e. food, etc.", "fruit, for example apples, that is food, et cetera."),
        (
            "Acme Inc. grew. I like Acme Inc. They grew.",
            "Acme Incorporated grew. I like Acme Incorporated. They grew.",
        ),
        ("No. 5 and Fig. 3. No. Never.", "Number five and Figure three. No. Never."),
        ("J. R. R. Tolkien", "J R R Tolkien"),
        (
            "World War II, Chapter IV, Henry VIII. Chapter I can",
            "World War two, Chapter four, Henry the eighth. Chapter one can",
        ),
        ("AT&T, a.k.a. Bell, Q.E.D.", "A-T and T, also known as Bell, Q E D."),
        ("180 lbs., Apt. 4", "one hundred and eighty pounds, Apartment four"),
        ("R&D & co w/ it", "R and D and co with it"),
        ("and/or, he/she, TCP/IP, 5 km/h", "and or, he or she, TCP IP, five kilometers per hour"),
        ("b/c of a/b/c", "because of a/b/c"),
        ("Rocky III, The III, XIX century", "Rocky three, The III, nineteenth century"),
        ("min. 3, no. 4, N. 5th St.", "minimum three, number four, North fifth Street."),
        ("She said no. 5 went. I met Max. 3 ran.", "She said no. five went. I met Max. three ran."),
        ("Max. 3 guests, page no. 5", "Maximum three guests, page number five"),
        ("C# and F#", "C sharp and F sharp"),
        ("pg. 3, pp. 3-5, Tel. 5, Ep. 4", "page three, pages three to five, Telephone five, Episode four"),
        ("Start IV antibiotics, Rocky IV was", "Start IV antibiotics, Rocky four was"),
        ("Louis XIV's palace", "Louis the fourteenth's palace"),
        ("Ann vs Ben, 5% YoY, WWII vets", "Ann versus Ben, five percent year over year, World War two vets"),
        (
            "Downing St, London; Elm Dr. near Fifth Ave. NW",
            "Downing Street, London; Elm Drive near Fifth Avenue NW",
        ),
        ("No.5, III. Methods", "Number five, III. Methods"),
        ("III. Methods", "three. Methods"),
        (
            "Elizabeth I, Henry I was, Act III, Scene I",
            "Elizabeth the first, Henry I was, Act three, Scene one",
        ),
        ("Vol. II, Pt. III, nos. 3", "Volume two, Part three, numbers three"),
    ],
)
def test_abbreviations(written: str, spoken: str) -> None:
    assert said(written) == spoken
