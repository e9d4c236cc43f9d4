"""The lecture as data: what each slide says, whose idea it is, and where this book treats it.

Titles stand as on the slides; papers are cited as they appeared (`docs/ledger.md` lists the
corrections).
"""

from dataclasses import dataclass

from companion.files import checkout

FELZENSZWALB = "Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 2010"
JOHANSSON = "Johansson, Holsanova, Dewhurst, Holmqvist, J. Exp. Psychol. HPP 2012"
DURAND = "Durand, Mordan, Thome, Cord, CVPR 2017"
YANG = "Yang et al., CVPR 2016 (probably: the slide names no source)"
MNIH = "Mnih, Heess, Graves, Kavukcuoglu, NIPS 2014"
SONG = "Song, Lan, Xing, Zeng, Liu, AAAI 2017"
SHARMA = "Sharma, Kiros, Salakhutdinov, ICLR workshop 2016"
HANDS_2017 = "Baradel, Wolf, Mille, ICCV workshop 2017"
HANDS_2018 = "Baradel, Wolf, Mille, BMVC 2018"
GLIMPSES = "Baradel, Wolf, Mille, Taylor, CVPR 2018"


@dataclass(frozen=True)
class Topic:
    """One topic of the lecture.

    Args:
        slide: the slide's title.
        paper: whose idea it is; empty where the slide cites nobody.
        claim: what the slide says.
        notebook: stem of the notebook that treats it.
        model: file in `companion/models`; empty where the slide shows no model.
        tables: names in `results/published` that hold its numbers.
    """

    slide: str
    paper: str
    claim: str
    notebook: str
    model: str = ""
    tables: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        """Is the notebook there, or planned?"""
        return (checkout() / "notebooks" / f"{self.notebook}.ipynb").is_file()


TOPICS = (
    Topic(
        "4.2 Attention in Computer Vision",
        "",
        "Attention decides which part of the input is read.",
        "00_the_lecture",
    ),
    Topic(
        "Previously at vision conferences: Deformable parts models",
        FELZENSZWALB,
        "An object is a collection of local parts whose latent positions are optimised.",
        "01_deformable_part_models",
        "dpm.py",
    ),
    Topic(
        "How do humans perform these tasks?",
        "",
        "Humans recognise objects without trying every position of every part.",
        "02_gaze",
    ),
    Topic(
        "Human attention: gaze patterns",
        JOHANSSON,
        "People look at a scene one fixation after the other.",
        "02_gaze",
        "gaze.py",
    ),
    Topic(
        "Gaze can be predicted",
        "",
        "Gaze serves scene analysis and social signals, and a model can learn to predict it.",
        "02_gaze",
        "gaze.py",
    ),
    Topic(
        "Attention in vision",
        DURAND,
        "Labels of whole images are enough to learn where the evidence lies.",
        "03_weakly_supervised_attention",
        "wildcat.py",
        ("wildcat",),
    ),
    Topic(
        "Attention based mechanisms",
        "",
        "The recognition loss alone can teach where to look.",
        "03_weakly_supervised_attention",
        "joint_attention.py",
    ),
    Topic(
        "Soft attention: example",
        YANG,
        "A question about an image is answered by weighting the image's regions.",
        "04_soft_attention",
        "stacked_attention.py",
        ("daquar",),
    ),
    Topic(
        "Soft attention vs. hard attention",
        MNIH,
        "Hard attention reads one place at a time and learns where to look by reinforcement.",
        "05_hard_attention",
        "ram.py",
        ("ram",),
    ),
    Topic(
        "Attention on joints",
        SONG,
        "Some joints and some frames tell more about an action than others.",
        "06_attention_on_joints",
        "sta_lstm.py",
        ("ntu_hands", "sbu", "nucla"),
    ),
    Topic(
        "Soft attention in feature maps",
        SHARMA,
        "A recurrent state weights the positions of the next frame's feature map.",
        "07_feature_map_attention",
        "feature_map_attention.py",
    ),
    Topic(
        "Articulated pose alone is not sufficient",
        "",
        "Reading and writing look the same to the joints, and RGB tells them apart.",
        "08_pose_is_not_enough",
        "hand_attention.py",
    ),
    Topic(
        "Attention on relevant parts",
        HANDS_2017,
        "The pose says which hand to look at.",
        "09_pose_driven_attention",
        "hand_attention.py",
    ),
    Topic(
        "Body motion of the full sub-sequence",
        HANDS_2018,
        "Body motion drives spatial attention over hands and temporal attention over frames.",
        "09_pose_driven_attention",
        "hand_attention.py",
    ),
    Topic(
        "Results: comparison w. state of the art",
        HANDS_2018,
        "Pose and RGB together beat either alone on NTU RGB+D.",
        "12_published_vs_reproduced",
        tables=("ntu_hands",),
    ),
    Topic(
        "Transfer learning",
        HANDS_2018,
        "What was learned on NTU RGB+D carries over to SBU and MSR Daily Activity.",
        "09_pose_driven_attention",
        "hand_attention.py",
        tables=("sbu", "msr_daily"),
    ),
    Topic(
        "Context",
        "",
        "Attention must reach places that the pose does not determine.",
        "10_context",
    ),
    Topic(
        "Dynamic spatio-temporal attention",
        GLIMPSES,
        "Glimpses are chosen in each frame from RGB alone.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Dynamic visual attention",
        GLIMPSES,
        "A model learns where to attend, to track what it attended, and to recognise from the tracks.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Attention in feature space",
        GLIMPSES,
        "Glimpses are cut from feature maps, not from images.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Unconstrained differentiable attention",
        GLIMPSES,
        "A differentiable crop lets the gradient choose the next glimpse.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Distributed recognition",
        GLIMPSES,
        "Several recurrent workers share the glimpses.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Soft-assignment of glimpses to workers",
        GLIMPSES,
        "Each glimpse is handed softly to the workers that saw similar ones before.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "Intermediate supervision",
        GLIMPSES,
        "The pose supervises training and is not needed at test.",
        "11_glimpse_clouds",
        "glimpse_clouds.py",
    ),
    Topic(
        "State-of-the-art comparaison",
        GLIMPSES,
        "Glimpse Clouds lead both averages, and gain more over a global model on N-UCLA than on NTU.",
        "12_published_vs_reproduced",
        tables=("ntu_glimpse_clouds", "nucla"),
    ),
)


def slide_map(up: str = "") -> str:
    """The slides and where they are treated, as a Markdown table.

    Args:
        up: path from the page that holds the table to the repository's root, such as `../`.
    """
    lines = ["| slide | paper | notebook | model | published tables |", "|---|---|---|---|---|"]
    for topic in TOPICS:
        notebook = f"{topic.notebook} (planned)"
        model = f"`{topic.model}`" if topic.model else ""
        if topic.exists:
            notebook = f"[{topic.notebook}]({up}notebooks/{topic.notebook}.ipynb)"
            model = model and f"[{model}]({up}companion/models/{topic.model})"
        tables = ", ".join(f"[{name}]({up}results/published/{name}.csv)" for name in topic.tables)
        cells = (topic.slide, topic.paper, notebook, model, tables)
        lines.append("| " + " | ".join(cell or "–" for cell in cells) + " |")
    return "\n".join(lines) + "\n"
