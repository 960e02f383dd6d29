/* The string commands. What is answered was compared with redis-server 7.0; where 7.2 differs it is 7.2's. */
#include "tests/unit/history_lines.h"
#include "tests/unit/random.h"
#include "tests/unit/resp_fixture.h"

/* 1e4932 as INCRBYFLOAT writes it: the decimal digits of the nearest long double. */
#define TEN_TO_THE_4932                                                                                        \
    "$4933\r\n100000000000000000000601894938796389132383777425453311477378504135253301948660872240753332777"   \
    "943314277366652556366627768206186090644046033662341616493109754210865362373994723782427360775564628207"   \
    "733774677062828108346124470945764363340927284485142091466676540833985649773830675645413703761844047618"   \
    "298286595405404632090829955594232130250332060208007020820362392107915188146020374501477493162049003039"   \
    "499871931261465406408137349324887712089245518638375343919787097804150279771688019395540310772191163864"   \
    "625693948419729312816032948236099699577948922485926403414694908719482079422243368784928456198723013400"   \
    "630541455362632361486447956507939005276198063346364012897969661536254550760830396055383086614559264437"   \
    "228910291860269674176774129715399835926313589798584969763867831058680372002464759306604407032376174743"   \
    "937515194999419152887617227403456123846568953091400249620854748845224921982104921769035924659432618853"   \
    "720084602547693685670772698642580430405368831757238029269088045467785221045879073317742109896534638384"   \
    "553301619296565337753342109755377320210545255958936022773255084354571746971521129302927710064995157927"   \
    "946321287522876870082727462995133158499420324370841219094831561479864172105415839735139574775854832875"   \
    "427053422572136164035622781608009489243336690241745424238262923227754402660964025532555781432158032534"   \
    "035233066061764232669614025723955254912107198518944384677762333488192918977370700840346659520483873362"   \
    "163327338363194485698948413844497838665605875531084883368979189648499884755036426410480080057824551176"   \
    "259469116154573089131974410795389799310100821760126931062989030835789379334434007283778271641052081864"   \
    "009977109440177202473108483586068993653303572685417539619535176809651931094463144592363805321457599337"   \
    "846877529286587143574224977797982277501432447584589961509638007989909953845312104385182134917837173664"   \
    "070264530428425488543761144169036061646636820219430776946220996338769044657669196955157104194128830264"   \
    "891282734519428627112223034782324607349828515370857950006265622271495411332929395334649561594778409117"   \
    "588355498811716738765068152578136186445036499260507912977060479329107655966804115355825476577428883133"   \
    "065867691029650653834398269907682414770607740118550133705367687544086311363017206790222383783852580218"   \
    "140600394260650760982632001519380763303558666153915042560594069176863784581543418458525591507408131725"   \
    "031957270037057987797717764434520593350585037421277906483714624276503471456946430686578482993644575489"   \
    "382521399571013756775034255676232913797338791304730055484173750680015498419868692396528614707927320356"   \
    "100464736528604987679078828830113005043720748906779884207844336016777224583410362930104134525212274343"   \
    "750193525437075704987852683828381070534301015328398595855074166137400121232317256223003729059767502927"   \
    "886548957026880361800152028074858848185863233214542218152450097053373885865288162573815895584046933483"   \
    "010636624326221042921025817397818652220830681420703883159033262215546415921619300547880931377266140644"   \
    "932198952990899040759971726535488708102762241216576479310624630991098475786962798270088505525990097356"   \
    "712849843778267149261035108885827146338749583302181931854870555860639584607039050032320463633938365552"   \
    "812365743811522503543394754387680531778149269129577241040374645677417566688450317550441527082425875030"   \
    "565378847388267103834048127818864801364745019043146973727700800304120469385915354405805910838451654126"   \
    "152112708811640234967915131722739518362849092216133642975738669840192868232365705692475864879384879982"   \
    "290760667907128096439354132512923168245666912345014087912013793154865253760150865620918348692838451584"   \
    "297376016360175623069782677923727507847182425866438213375987615153753259842952199975843101808700181748"   \
    "530091947958317104996778132220293686464878074402536145294711777670112921004987255531646720466847098913"   \
    "020373339134950170871318124406892119958731482397456823417479242913979908858779466652876998660282037596"   \
    "804544520921987559667887791210333694989414237817364869213085417789802019462967031110199493815703876595"   \
    "701479205617373962361487155731771445359733620206877493508640938641422337514176560175826841876411465105"   \
    "308828100924824611019508436446892683757299287011041141487877061639781733452936740323806169963208929354"   \
    "311818529988128046348180069620196672351192255607848383932506741556263305744840874654180859034222847696"   \
    "441668105587556178181000593632819184481591565871968352284597990101833505000624639202765714958033231973"   \
    "966037670718042916628065825843477336276456327713422052577986989383282486642290992848493937496407138624"   \
    "808859240814272364653380188286173620599278196536009000080282140876378764102343765311926375728021277369"   \
    "465521350707571762252116022718715763163558368213008936468254300729204200997615013518941592341324410000"   \
    "642108281739498830026573442267754810074182968284266833447231492870296861620469171736679864291614647301"   \
    "836337052342720341657925081157790098598095740483001940360036186052098593797350695655773975474178335472"   \
    "8589350876379371163141086538418113791886622720\r\n"

static void test_append_and_strlen(void **state) {
    (void)state;
    check("STRLEN a", ":0\r\n");
    check("APPEND a \"\"", ":0\r\n");
    check("EXISTS a", ":1\r\n");
    check("APPEND a Hello", ":5\r\n");
    check("APPEND a \" World\"", ":11\r\n");
    check("GET a", "$11\r\nHello World\r\n");
    check("STRLEN a", ":11\r\n");
    check("APPEND a", "-ERR wrong number of arguments for 'append' command\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("APPEND t w", ":2\r\n");
    check("TTL t", ":100\r\n");
}

static void test_getrange(void **state) {
    (void)state;
    check("SET a \"This is a string\"", "+OK\r\n");
    check("GETRANGE a 0 3", "$4\r\nThis\r\n");
    check("GETRANGE a -3 -1", "$3\r\ning\r\n");
    check("GETRANGE a 0 -1", "$16\r\nThis is a string\r\n");
    check("GETRANGE a 10 100", "$6\r\nstring\r\n");
    check("GETRANGE a 5 3", "$0\r\n\r\n");
    check("GETRANGE a -1 -5", "$0\r\n\r\n");
    check("GETRANGE a -100 3", "$4\r\nThis\r\n");
    check("GETRANGE a -100 -50", "$1\r\nT\r\n");
    check("GETRANGE a 100 200", "$0\r\n\r\n");
    check("GETRANGE a 9223372036854775807 -9223372036854775808", "$0\r\n\r\n");
    check("GETRANGE a -9223372036854775808 9223372036854775807", "$16\r\nThis is a string\r\n");
    check("GETRANGE a 0", "-ERR wrong number of arguments for 'getrange' command\r\n");
    check("GETRANGE a 0 x", "-ERR value is not an integer or out of range\r\n");
    check("GETRANGE a 1.5 2", "-ERR value is not an integer or out of range\r\n");
    check("GETRANGE missing 0 -1", "$0\r\n\r\n");
    check("SUBSTR a 0 3", "$4\r\nThis\r\n");
    check("SUBSTR a x 3", "-ERR value is not an integer or out of range\r\n");
    check("SUBSTR a", "-ERR wrong number of arguments for 'substr' command\r\n");
    check("SET a \"\"", "+OK\r\n");
    check("GETRANGE a 0 -1", "$0\r\n\r\n");
    check("GETRANGE a 0 0", "$0\r\n\r\n");
}

static void test_setrange(void **state) {
    (void)state;
    check("SETRANGE a 0 \"\"", ":0\r\n");
    check("SETRANGE a 5 \"\"", ":0\r\n");
    check("EXISTS a", ":0\r\n");
    check("SETRANGE a 2 xy", ":4\r\n");
    check_bytes("GET a", SLICE("$4\r\n\x00\x00xy\r\n"));
    check("SETRANGE a 0 ab", ":4\r\n");
    check("GET a", "$4\r\nabxy\r\n");
    check("SETRANGE a 3 \"\"", ":4\r\n");
    check("SETRANGE a 6 \"z\"", ":7\r\n");
    check_bytes("GET a", SLICE("$7\r\nabxy\x00\x00z\r\n"));
    check("SETRANGE a -1 x", "-ERR offset is out of range\r\n");
    check("SETRANGE a x x", "-ERR value is not an integer or out of range\r\n");
    check("SETRANGE a 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    check("SETRANGE a 536870911 xx", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    check("SETRANGE a 9223372036854775807 x",
          "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    check("STRLEN a", ":7\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("SETRANGE t 3 w", ":4\r\n");
    check("TTL t", ":100\r\n");
}

static void test_counters(void **state) {
    (void)state;
    check("INCR n", ":1\r\n");
    check("INCR n", ":2\r\n");
    check("DECR n", ":1\r\n");
    check("INCRBY n 10", ":11\r\n");
    check("DECRBY n 20", ":-9\r\n");
    check("GET n", "$2\r\n-9\r\n");
    check("INCRBY n -9223372036854775808", "-ERR increment or decrement would overflow\r\n");
    check("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
    check("SET n 9223372036854775807", "+OK\r\n");
    check("INCR n", "-ERR increment or decrement would overflow\r\n");
    check("INCRBY n 1", "-ERR increment or decrement would overflow\r\n");
    check("DECRBY n -1", "-ERR increment or decrement would overflow\r\n");
    check("GET n", "$19\r\n9223372036854775807\r\n");
    check("SET n -9223372036854775808", "+OK\r\n");
    check("DECR n", "-ERR increment or decrement would overflow\r\n");
    check("INCRBY n 9223372036854775807", ":-1\r\n");
    check("INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
    check("INCRBY n 1.5", "-ERR value is not an integer or out of range\r\n");
    check("INCRBY n \"\"", "-ERR value is not an integer or out of range\r\n");
    check("INCRBY n \" 1\"", "-ERR value is not an integer or out of range\r\n");
    check("INCRBY n", "-ERR wrong number of arguments for 'incrby' command\r\n");
    check("SET t 5 EX 100", "+OK\r\n");
    check("INCR t", ":6\r\n");
    check("TTL t", ":100\r\n");
}

static void test_what_is_no_counter(void **state) {
    (void)state;
    check("SET a abc", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a \"\"", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a \" 1\"", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a \"1 \"", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a 01", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a -0", "+OK\r\n");
    check("DECR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a +1", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a 1.0", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a 1e3", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a 9223372036854775808", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a \"1\\x00\"", "+OK\r\n");
    check("INCR a", "-ERR value is not an integer or out of range\r\n");
    check("SET a -1", "+OK\r\n");
    check("INCR a", ":0\r\n");
}

static void test_incrbyfloat(void **state) {
    (void)state;
    check("INCRBYFLOAT f 10.5", "$4\r\n10.5\r\n");
    check("INCRBYFLOAT f 0.1", "$4\r\n10.6\r\n");
    check("INCRBYFLOAT f -10.6", "$1\r\n0\r\n");
    check("INCRBYFLOAT f 5.0e3", "$4\r\n5000\r\n");
    check("INCRBYFLOAT f -5e3", "$1\r\n0\r\n");
    check("SET f 3.0e3", "+OK\r\n");
    check("INCRBYFLOAT f 200", "$4\r\n3200\r\n");
    check("SET f 10", "+OK\r\n");
    check("INCRBYFLOAT f 0", "$2\r\n10\r\n");
    check("SET f 0.1", "+OK\r\n");
    check("INCRBYFLOAT f 0.2", "$3\r\n0.3\r\n");
    check("SET f -0.0", "+OK\r\n");
    check("INCRBYFLOAT f -0.0", "$1\r\n0\r\n");
    check("SET f 1e18", "+OK\r\n");
    check("INCRBYFLOAT f 1", "$19\r\n1000000000000000001\r\n");
    check("SET f 0x1p3", "+OK\r\n");
    check("INCRBYFLOAT f .5", "$3\r\n8.5\r\n");
    check("SET f 1", "+OK\r\n");
    check("INCRBYFLOAT f 1e-20", "$1\r\n1\r\n");
    check("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n");
    check("INCRBYFLOAT f -infinity", "-ERR increment would produce NaN or Infinity\r\n");
    check("INCRBYFLOAT f nan", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f 1e4932", TEN_TO_THE_4932);
    check("INCRBYFLOAT f 1e-5000", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f abc", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f \"\"", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f \" 1\"", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f \"1 \"", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f 1x", "-ERR value is not a valid float\r\n");
    check("INCRBYFLOAT f", "-ERR wrong number of arguments for 'incrbyfloat' command\r\n");
    check("GET f", TEN_TO_THE_4932);
    check("SET f inf", "+OK\r\n");
    check("INCRBYFLOAT f 1", "-ERR increment would produce NaN or Infinity\r\n");
    check("SET f x", "+OK\r\n");
    check("INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n");
    check("SET f \"\"", "+OK\r\n");
    check("INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n");
    check("SET t 1 EX 100", "+OK\r\n");
    check("INCRBYFLOAT t 1.5", "$3\r\n2.5\r\n");
    check("TTL t", ":100\r\n");
}

static void test_relatives_of_set(void **state) {
    (void)state;
    check("SETNX a b", ":1\r\n");
    check("SETNX a c", ":0\r\n");
    check("GET a", "$1\r\nb\r\n");
    check("GETSET a d", "$1\r\nb\r\n");
    check("GETSET new e", "$-1\r\n");
    check("GETSET a", "-ERR wrong number of arguments for 'getset' command\r\n");
    check("SET a v EX 100", "+OK\r\n");
    check("GETSET a w", "$1\r\nv\r\n");
    check("TTL a", ":-1\r\n");
    check("SETEX a 100 v", "+OK\r\n");
    check("TTL a", ":100\r\n");
    check("SETEX a 0 v", "-ERR invalid expire time in 'setex' command\r\n");
    check("SETEX a -1 v", "-ERR invalid expire time in 'setex' command\r\n");
    check("SETEX a x v", "-ERR value is not an integer or out of range\r\n");
    check("SETEX a 9223372036854775807 v", "-ERR invalid expire time in 'setex' command\r\n");
    check("SETEX a 10", "-ERR wrong number of arguments for 'setex' command\r\n");
    check("PSETEX a 100000 w", "+OK\r\n");
    check("TTL a", ":100\r\n");
    check("PSETEX a 0 v", "-ERR invalid expire time in 'psetex' command\r\n");
    check("PSETEX a -5 v", "-ERR invalid expire time in 'psetex' command\r\n");
    check("PSETEX a 1.5 v", "-ERR value is not an integer or out of range\r\n");
    check("GET a", "$1\r\nw\r\n");
    check("GETDEL a", "$1\r\nw\r\n");
    check("GETDEL a", "$-1\r\n");
    check("EXISTS a", ":0\r\n");
}

static void test_getex(void **state) {
    (void)state;
    check("GETEX a", "$-1\r\n");
    check("GETEX a EX 0", "$-1\r\n");
    check("GETEX a EX x", "$-1\r\n");
    check("GETEX a foo", "-ERR syntax error\r\n");
    check("SET a v", "+OK\r\n");
    check("GETEX a", "$1\r\nv\r\n");
    check("GETEX a EX 100", "$1\r\nv\r\n");
    check("TTL a", ":100\r\n");
    check("GETEX a", "$1\r\nv\r\n");
    check("TTL a", ":100\r\n");
    check("GETEX a PERSIST", "$1\r\nv\r\n");
    check("TTL a", ":-1\r\n");
    check("GETEX a PERSIST", "$1\r\nv\r\n");
    check("GETEX a PX 100000", "$1\r\nv\r\n");
    check("TTL a", ":100\r\n");
    check("GETEX a EXAT 99999999999", "$1\r\nv\r\n");
    check("GETEX a EX 5 EX 100", "$1\r\nv\r\n");
    check("TTL a", ":100\r\n");
    check("GETEX a EX 5 PX 10", "-ERR syntax error\r\n");
    check("GETEX a EX 5 PERSIST", "-ERR syntax error\r\n");
    check("GETEX a PERSIST EX 5", "-ERR syntax error\r\n");
    check("GETEX a KEEPTTL", "-ERR syntax error\r\n");
    check("GETEX a NX", "-ERR syntax error\r\n");
    check("GETEX a EX", "-ERR syntax error\r\n");
    check("GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n");
    check("GETEX a PX -1", "-ERR invalid expire time in 'getex' command\r\n");
    check("GETEX a EX x", "-ERR value is not an integer or out of range\r\n");
    check("GETEX a EX 9223372036854775807", "-ERR invalid expire time in 'getex' command\r\n");
    check("TTL a", ":100\r\n");
    check("GETEX a PXAT 1", "$1\r\nv\r\n");
    check("EXISTS a", ":0\r\n");
}

/* A write for each would cost more than to copy them. */
static void test_values_of_many_keys_take_one_write(void **state) {
    (void)state;
    enum { VALUE_BYTES = 10000, HEADER_BYTES = sizeof("$10000\r\n\r\n") - 1 };
    check("SETRANGE a 9999 x", ":10000\r\n");
    uint64_t before = net_stats(node.net)->writes;
    send_bytes(SLICE("MGET a a a a a a a a\r\n"));
    assert_true(receive_bytes(4 + 8 * (VALUE_BYTES + HEADER_BYTES)));
    assert_int_equal(net_stats(node.net)->writes - before, 1);
    buf_reset(&node.received);
}

static void test_many_keys(void **state) {
    (void)state;
    check("MSET a 1 b 2 c 3", "+OK\r\n");
    check("MGET a b nope c a", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$1\r\n1\r\n");
    check("MSET a 4 a 5", "+OK\r\n");
    check("GET a", "$1\r\n5\r\n");
    check("MSET a", "-ERR wrong number of arguments for 'mset' command\r\n");
    check("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    check("MGET", "-ERR wrong number of arguments for 'mget' command\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("MSET t w", "+OK\r\n");
    check("TTL t", ":-1\r\n");
    check("MSETNX d 1 a 2", ":0\r\n");
    check("EXISTS d", ":0\r\n");
    check("MSETNX d 1 e 2", ":1\r\n");
    check("MGET d e", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    check("MSETNX f 1 f 2", ":1\r\n");
    check("GET f", "$1\r\n2\r\n");
    check("MSETNX f", "-ERR wrong number of arguments for 'msetnx' command\r\n");
    check("MSETNX f 1 g", "-ERR wrong number of arguments for 'msetnx' command\r\n");
}

static void test_lcs(void **state) {
    (void)state;
    check("MSET x ohmytext y mynewtext", "+OK\r\n");
    check("LCS x y", "$6\r\nmytext\r\n");
    check("LCS x y LEN", ":6\r\n");
    check("LCS x y IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:"
                         "2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x y IDX MINMATCHLEN 4",
          "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x y IDX MINMATCHLEN 4 WITHMATCHLEN",
          "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x y IDX MINMATCHLEN -1 WITHMATCHLEN",
          "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n*3\r\n*2\r\n:2\r\n:"
          "3\r\n*2\r\n:0\r\n:1\r\n:2\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x y IDX MINMATCHLEN 9223372036854775807", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x y WITHMATCHLEN", "$6\r\nmytext\r\n");
    check("LCS y x IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:5\r\n:8\r\n*2\r\n:4\r\n:7\r\n*2\r\n*2\r\n:"
                         "0\r\n:1\r\n*2\r\n:2\r\n:3\r\n$3\r\nlen\r\n:6\r\n");
    check("LCS x x IDX",
          "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:7\r\n*2\r\n:0\r\n:7\r\n$3\r\nlen\r\n:8\r\n");
    check("LCS x nope", "$0\r\n\r\n");
    check("LCS nope x LEN", ":0\r\n");
    check("LCS nope nope2 IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    check("LCS x y LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    check("LCS x y MINMATCHLEN", "-ERR syntax error\r\n");
    check("LCS x y MINMATCHLEN x", "-ERR value is not an integer or out of range\r\n");
    check("LCS x y foo", "-ERR syntax error\r\n");
    check("LCS x", "-ERR wrong number of arguments for 'lcs' command\r\n");
}

/* --- What Redis does not have --- */

static void test_set_ifeq(void **state) {
    (void)state;
    check("SET a b IFEQ b", "$-1\r\n");
    check("EXISTS a", ":0\r\n");
    check("SET a b", "+OK\r\n");
    check("SET a c IFEQ x", "$-1\r\n");
    check("SET a c IFEQ B", "$-1\r\n");
    check("GET a", "$1\r\nb\r\n");
    check("SET a c IFEQ b EX 100", "+OK\r\n");
    check("TTL a", ":100\r\n");
    check("SET a d GET IFEQ x", "$1\r\nc\r\n");
    check("SET a d IFEQ c GET KEEPTTL", "$1\r\nc\r\n");
    check("TTL a", ":100\r\n");
    check("SET new d IFEQ c GET", "$-1\r\n");
    check("SET a \"\" IFEQ d", "+OK\r\n");
    check("SET a x IFEQ \"\"", "+OK\r\n");
    check("SET a b IFEQ", "-ERR syntax error\r\n");
    check("SET a b IFEQ x NX", "-ERR syntax error\r\n");
    check("SET a b XX IFEQ x", "-ERR syntax error\r\n");
    check("SET a b IFEQ x IFEQ x", "-ERR syntax error\r\n");
    check("GETEX a IFEQ x", "-ERR syntax error\r\n");
    check("GET a", "$1\r\nx\r\n");
}

static void test_delifeq(void **state) {
    (void)state;
    check("DELIFEQ a b", ":0\r\n");
    check("SET a b", "+OK\r\n");
    check("DELIFEQ a c", ":0\r\n");
    check("DELIFEQ a b", ":1\r\n");
    check("EXISTS a", ":0\r\n");
    check("SET a \"\"", "+OK\r\n");
    check("DELIFEQ a \"\"", ":1\r\n");
    check("DELIFEQ a", "-ERR wrong number of arguments for 'delifeq' command\r\n");
}

static void test_versions(void **state) {
    (void)state;
    check("GETWITHETAG a", "$-1\r\n");
    check("SETIFMATCH a x 0", "$-1\r\n");
    check("DELIFMATCH a 0", ":0\r\n");
    check("EXISTS a", ":0\r\n");
    check("SET a one", "+OK\r\n");
    check("GETWITHETAG a", "*2\r\n:1\r\n$3\r\none\r\n");
    check("SETIFMATCH a two 2", "*2\r\n:1\r\n$3\r\none\r\n");
    check("SETIFMATCH a two 1", "*2\r\n:2\r\n$-1\r\n");
    check("GETWITHETAG a", "*2\r\n:2\r\n$3\r\ntwo\r\n");
    check("SETIFMATCH a three 2 EX 100", "*2\r\n:3\r\n$-1\r\n");
    check("TTL a", ":100\r\n");
    check("SETIFMATCH a four 3 KEEPTTL", "*2\r\n:4\r\n$-1\r\n");
    check("TTL a", ":100\r\n");
    check("SETIFMATCH a five 4", "*2\r\n:5\r\n$-1\r\n");
    check("TTL a", ":-1\r\n");
    check("SETIFMATCH a x -1", "-ERR value is not an integer or out of range\r\n");
    check("SETIFMATCH a x five", "-ERR value is not an integer or out of range\r\n");
    check("SETIFMATCH a x 5 NX", "-ERR syntax error\r\n");
    check("SETIFMATCH a x 5 EX 0", "-ERR invalid expire time in 'setifmatch' command\r\n");
    check("DELIFMATCH a x", "-ERR value is not an integer or out of range\r\n");
    check("DELIFMATCH a 4", ":0\r\n");
    check("DELIFMATCH a 5", ":1\r\n");
    check("EXISTS a", ":0\r\n");
    /* The deletion took version 6: none is ever used twice. */
    check("SET a again", "+OK\r\n");
    check("GETWITHETAG a", "*2\r\n:7\r\n$5\r\nagain\r\n");
}

static void test_a_version_of_64_bits(void **state) {
    (void)state;
    struct line line = {
        .verb = LINE_REPLICATE, .key = SLICE("a"), .value = SLICE("v"), .version = UINT64_MAX - 1};
    assert_int_equal(keyspace_apply(node.keyspace, &line, 1), ERR_NONE);
    check("GETWITHETAG a", "*2\r\n$20\r\n18446744073709551614\r\n$1\r\nv\r\n");
    check("SETIFMATCH a w 18446744073709551614", "*2\r\n$20\r\n18446744073709551615\r\n$-1\r\n");
    check("APPEND a x", "-ERR the versions of this key are exhausted\r\n");
    check("GET a", "$1\r\nw\r\n");
}

/* Each of these is one write, whatever it changes. */
static void test_a_write_is_one_version(void **state) {
    (void)state;
    static const struct {
        const char *line;
        struct slice expected;
    } writes[] = {
        {"SET a 1", {"+OK\r\n", sizeof("+OK\r\n") - 1}},
        {"INCR a", {":2\r\n", sizeof(":2\r\n") - 1}},
        {"INCRBYFLOAT a 1", {"$1\r\n3\r\n", sizeof("$1\r\n3\r\n") - 1}},
        {"APPEND a 4", {":2\r\n", sizeof(":2\r\n") - 1}},
        {"APPEND a \"\"", {":2\r\n", sizeof(":2\r\n") - 1}},
        {"SETRANGE a 5 x", {":6\r\n", sizeof(":6\r\n") - 1}},
        {"SETBIT a 0 1", {":0\r\n", sizeof(":0\r\n") - 1}},
        {"GETSET a 1",
         {"$6\r\n\xb3"
          "4\0\0\0x\r\n",
          sizeof("$6\r\n\xb3"
                 "4\0\0\0x\r\n") -
              1}},
        {"SETEX a 100 1", {"+OK\r\n", sizeof("+OK\r\n") - 1}},
        {"MSET a 1", {"+OK\r\n", sizeof("+OK\r\n") - 1}},
        {"BITFIELD a SET u8 0 1 INCRBY u8 8 1", {"*2\r\n:49\r\n:1\r\n", sizeof("*2\r\n:49\r\n:1\r\n") - 1}},
        {"BITOP NOT a a", {":2\r\n", sizeof(":2\r\n") - 1}},
    };
    size_t n = sizeof(writes) / sizeof(writes[0]);
    for (size_t i = 0; i < n; i++) {
        check_bytes(writes[i].line, writes[i].expected);
        struct key key = keyspace_key(node.keyspace, SLICE("a"));
        assert_int_equal(entry_version(keyspace_find(node.keyspace, &key, KEYSPACE_QUIETLY)), i + 1);
    }
    static const char *const none[] = {"SETBIT a 0 1",      "GETEX a EX 5",        "GETEX a",
                                       "SETRANGE a 9 \"\"", "BITFIELD a GET u8 0", "SETNX a b",
                                       "MSETNX a b",        "INCRBYFLOAT a x",     "BITFIELD a SET u8 0 254"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        check_contains(none[i], "");
        struct key key = keyspace_key(node.keyspace, SLICE("a"));
        assert_int_equal(entry_version(keyspace_find(node.keyspace, &key, KEYSPACE_QUIETLY)), n);
    }
}

static void test_the_longest_value(void **state) {
    (void)state;
    check("CONFIG SET proto-max-bulk-len 1mb", "+OK\r\n");
    check("SETRANGE a 1048576 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    check("SETRANGE a 1048575 x", ":1048576\r\n");
    check("APPEND a x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    check("SETRANGE a 1048575 y", ":1048576\r\n");
    check("SETBIT a 8388608 1", "-ERR bit offset is not an integer or out of range\r\n");
    check("GETBIT a 8388608", "-ERR bit offset is not an integer or out of range\r\n");
    check("SETBIT a 8388607 1", ":1\r\n");
    check("STRLEN a", ":1048576\r\n");
}

/* --- The history --- */

/* All lines so far, but for CLOCK, which depends on the time. */
static void expect_history(const char *expected) {
    struct slice lines = history_lines_behind(node.history, 0);
    char got[1024];
    size_t used = 0;
    assert_true(lines.len < sizeof(got));
    while (lines.len > 0) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        assert_non_null(end);
        struct slice line = slice_first(lines, (size_t)(end - lines.ptr) + 1);
        if (line.len < 6 || memcmp(line.ptr, "CLOCK|", 6) != 0) {
            memcpy(got + used, line.ptr, line.len);
            used += line.len;
        }
        lines = slice_skip(lines, line.len);
    }
    got[used] = '\0';
    assert_string_equal(got, expected);
}

static void test_many_keys_are_one_batch(void **state) {
    (void)state;
    history_keep(node.history);
    check("MSET a 1 b 2 a 3", "+OK\r\n");
    expect_history("BATCH|3\nREPLICATE|a|1|1\nREPLICATE|b|2|1\nREPLICATE|a|3|2\n");
    uint64_t index = history_index(node.history);
    check("MSETNX c 1 a 2", ":0\r\n");
    check("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    assert_int_equal(history_index(node.history), index);
}

static void test_batches_nest(void **state) {
    (void)state;
    history_keep(node.history);
    keyspace_batch_begin(node.keyspace);
    keyspace_batch_begin(node.keyspace);
    keyspace_batch_end(node.keyspace);
    struct key key = keyspace_key(node.keyspace, SLICE("a"));
    struct keyspace_set set = {.value = SLICE("1")};
    assert_int_equal(keyspace_set(node.keyspace, &key, &set, NULL), ERR_NONE);
    keyspace_batch_begin(node.keyspace);
    set.value = SLICE("2");
    assert_int_equal(keyspace_set(node.keyspace, &key, &set, NULL), ERR_NONE);
    keyspace_batch_end(node.keyspace);
    assert_int_equal(history_index(node.history), 0);
    keyspace_batch_end(node.keyspace);
    expect_history("BATCH|2\nREPLICATE|a|1|1\nREPLICATE|a|2|2\n");
}

/* A change of a part is a line with the whole: lines are absolute. */
static void test_a_part_is_written_as_a_whole(void **state) {
    (void)state;
    history_keep(node.history);
    check("SET a abc", "+OK\r\n");
    check("SETRANGE a 1 X", ":3\r\n");
    check("APPEND a d", ":4\r\n");
    expect_history("REPLICATE|a|abc|1\nREPLICATE|a|aXc|2\nREPLICATE|a|aXcd|3\n");
}

/* --- Random strings --- */

enum { LCS_MAX = 200 };

static size_t naive_lcs_length(const char *a, size_t a_len, const char *b, size_t b_len) {
    static size_t table[LCS_MAX + 1][LCS_MAX + 1];
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t j = 1; j <= b_len; j++) {
            size_t up = table[i - 1][j], left = table[i][j - 1];
            table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : up > left ? up : left;
        }
    }
    return table[a_len][b_len];
}

static bool is_subsequence(struct slice part, const char *of, size_t len) {
    size_t found = 0;
    for (size_t i = 0; i < len && found < part.len; i++) {
        found += of[i] == part.ptr[found];
    }
    return found == part.len;
}

static void test_lcs_of_random_strings(void **state) {
    (void)state;
    struct random random = random_start("test_lcs_of_random_strings");
    for (int round = 0; round < 300; round++) {
        char a[LCS_MAX], b[LCS_MAX], line[LCS_MAX * 2 + 64];
        size_t a_len = 1 + random_below(&random, LCS_MAX), b_len = 1 + random_below(&random, LCS_MAX);
        unsigned letters = 1 + (unsigned)random_below(&random, 6);
        for (size_t i = 0; i < LCS_MAX; i++) {
            a[i] = (char)('a' + random_below(&random, letters));
            b[i] = (char)('a' + random_below(&random, letters));
        }
        snprintf(line, sizeof(line), "MSET x %.*s y %.*s", (int)a_len, a, (int)b_len, b);
        check(line, "+OK\r\n");
        size_t length = naive_lcs_length(a, a_len, b, b_len);
        snprintf(line, sizeof(line), ":%zu\r\n", length);
        check("LCS x y LEN", line);
        int header = snprintf(line, sizeof(line), "$%zu\r\n", length);
        send_bytes(SLICE("LCS x y\r\n"));
        receive_bytes((size_t)header + length + 2);
        struct slice got = buf_slice(&node.received);
        assert_int_equal(got.len, (size_t)header + length + 2);
        assert_memory_equal(got.ptr, line, (size_t)header);
        struct slice part = slice_first(slice_skip(got, (size_t)header), length);
        assert_true(is_subsequence(part, a, a_len));
        assert_true(is_subsequence(part, b, b_len));
        buf_reset(&node.received);
    }
}

static void test_lcs_has_a_limit(void **state) {
    (void)state;
    check("SETRANGE x 11999 a", ":12000\r\n");
    check("SETRANGE y 11999 a", ":12000\r\n");
    check("LCS x y", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    check("SETRANGE x 5999999 a", ":6000000\r\n");
    check("SET y a", "+OK\r\n");
    check("LCS x y LEN", ":1\r\n");
    check("LCS x y", "$1\r\na\r\n");
    check("LCS y x", "$1\r\na\r\n");
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(test_append_and_strlen),
        test(test_getrange),
        test(test_setrange),
        test(test_counters),
        test(test_what_is_no_counter),
        test(test_incrbyfloat),
        test(test_relatives_of_set),
        test(test_getex),
        test(test_values_of_many_keys_take_one_write),
        test(test_many_keys),
        test(test_lcs),
        test(test_set_ifeq),
        test(test_delifeq),
        test(test_versions),
        test(test_a_version_of_64_bits),
        test(test_a_write_is_one_version),
        test(test_the_longest_value),
        test(test_many_keys_are_one_batch),
        test(test_batches_nest),
        test(test_a_part_is_written_as_a_whole),
        test(test_lcs_of_random_strings),
        test(test_lcs_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
