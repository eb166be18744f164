from urllib.parse import quote

from tests.server.origin.served import Server

CMCD = [  # of three viewers, as hls.js sends it
    'bl=2900,br=5200,cid="m1",d=6000,mtp=48200,ot=v,rtp=26000,sf=h,sid="5f0c",st=v,tb=5200',
    'bl=0,br=800,bs,cid="m1",d=6000,mtp=900,nor="00002-2.m4s",ot=v,sf=h,sid="77",st=v,su,tb=5200',
    "\"/../%2e?CMCD=&'",
]


def test_what_players_tell_in_the_query_makes_no_second_object(server: Server) -> None:
    path = server.store("720p/told.m4s", b"told")
    for told in CMCD:
        answer = server.ask(f"{path}?CMCD={quote(told, safe='')}")
        assert (answer.status, answer.body) == (200, b"told")
    assert server.reads("720p/told.m4s") == 1
