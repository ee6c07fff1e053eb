"""Draw how the networks of each family are wired, as docs/images/wiring_NAME.svg: what goes where, and which gradient.

A drawing is text: where things stand (column,row), and what goes from one to the next. A name that begins with a
capital is a network, in the colour of its kind; others are arrays. `>` is a value on its way; in `gradients`, the way
back: to D in orange, to all others in blue. `python docs/figures/networks.py [NAME ...]` draws all, or some.
"""

import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent.parent / "images"
COLUMN, ROW, EDGE = 104, 66, 34  # pixels
FILLS = {"G": "#d6e6f8", "D": "#fbe0c8", "E": "#dcefd6", "Q": "#e9ddf3"}  # generators, judges, encoders, others
INTO_D, INTO_G, VALUE = "#c4560a", "#1f62b5", "#444444"
STYLE = 'font-family="Helvetica, Arial, sans-serif" font-size="14"'


class Drawing(NamedTuple):
    """A family's networks."""

    title: str
    places: str  # "name=column,row:label ...", the label where it is not the name; _ stands for a space
    values: str  # "z>G>fake>D>score x>D"
    into_d: str = ""  # ways of gradients that end in D's weights, from the loss backwards
    into_g: str = ""


GAN = "z=0,1 G=1,1 fake=2,1:G(z) x=2,0 D=3,.5 real=4.1,.5:real_or_not?"
DRAWINGS = {
    "gan": Drawing("A GAN: z becomes a sample, and D is asked whether it is real", GAN,
                   "z>G>fake>D>real x>D", "real>D", "real>D>fake>G"),
    "cgan": Drawing("Conditional GAN: both networks are told the label", GAN + " y=1,0:label y2=3,1.6:label",
                    "z>G>fake>D>real x>D y>G y2>D", "real>D", "real>D>fake>G"),
    "acgan": Drawing("AC-GAN: G is told the label, and D names it",
                     GAN + " y=1,0:label q=4.1,1.5:which_label?", "z>G>fake>D>real x>D D>q y>G", "real>D q>D",
                     "real>D>fake>G q>D"),
    "infogan": Drawing("InfoGAN: Q reads the code c back from the sample, on top of D's features",
                       "z=0,.6 c=0,1.4:code_c G=1,1 fake=2,1:G(z,c) x=2,0 D=3,.5 real=4.2,.2:real_or_not? "
                       "Q=3,1.7 code=4.2,1.7:which_c?", "z>G c>G>fake>D>real x>D D>Q>code", "real>D code>Q>D",
                       "real>D>fake>G code>Q>D"),
    "wgan_gp": Drawing("WGAN-GP: a score, and a penalty on the critic's slope between the samples",
                       "z=0,2 G=1,2 fake=2,2:G(z) x=2,0 mid=2,1:x^_between D=3.2,1:D_(critic) "
                       "score=4.6,.5:score slope=4.7,1.5:|slope|=1?", "z>G>fake>D>score x>D mid>D>slope",
                       "score>D slope>D", "score>D>fake>G"),
    "unrolled": Drawing("Unrolled GAN: G's gradient goes through the steps that D is about to take",
                        "z=0,1 G=1,1 fake=2,1:G(z) x=2,0 D0=3,.5:D_now D1=4,.5:D,_a_step_on D2=5.2,.5:D,_k_steps_on "
                        "real=6.5,.5:real_or_not?", "z>G>fake>D0>D1>D2>real x>D0", "real>D2",
                        "real>D2>D1>D0>fake>G"),
    "pacgan": Drawing("PacGAN: D judges several samples at once",
                      "z1=0,1 z2=0,2 G=1,1.5 a=2,1:G(z1) b=2,2:G(z2) x=2,0:x1,_x2 D=3.2,1 real=4.5,1:all_real_or_not?",
                      "z1>G z2>G G>a>D>real G>b>D x>D", "real>D", "real>D>a>G D>b>G"),
    "veegan": Drawing("VEEGAN: D judges pairs; F finds z of a sample, and what it cannot find tells G",
                      "z=0,1 G=1,1 fake=2,1:G(z) x=0,0 E2=1,0:F code=2,0:F(x) D=3.4,.5:D_of_pairs "
                      "real=4.9,.5:which_pair? E=3.1,1.8:F guess=4.1,1.8:F(G(z)) same=5.2,1.8:is_it_z?",
                      "z>G>fake>D>real x>E2>code>D fake>E>guess>same", "real>D", "real>D>fake>G same>guess>E>fake"),
    "pix2pix": Drawing("pix2pix: D sees the input beside the output",
                       "a=0,1:input G=1,1:G_(U-Net) fake=2.2,1:output b=2.2,0:truth D=3.4,.5 real=4.5,.5:real_pair? "
                       "l1=3.2,1.8:L1_to_the_truth a2=4.6,1.3:input", "a>G>fake>D>real b>D a2>D fake>l1", "real>D",
                       "real>D>fake>G l1>fake"),
    "cyclegan": Drawing("CycleGAN: two generators, two judges; there and back must be the same",
                        "a=0,0:a G=1,0 fb=2,0:G(a) F=3,0 ra=4,0:F(G(a)) b=0,2:b G2=1,2:F fa=2,2:F(b) F2=3,2:G "
                        "rb=4,2:G(F(b)) Db=3,.68:D_of_b Da=3,1.32:D_of_a same=5.2,1:as_it_was?",
                        "a>G>fb>F>ra>same fb>Db b>G2>fa>F2>rb>same fa>Da", "",
                        "same>ra>F>fb>G same>rb>F2>fa>G2 Db>fb Da>fa"),
    "srgan": Drawing("SRGAN: a low picture becomes a high one, and two losses judge it",
                     "a=0,1:low_picture G=1.2,1 fake=2.2,1:G(low) x=2.2,0:high D=3.3,.5 real=4.4,.5:real_or_not? "
                     "l=3.4,1.7:features_alike?", "a>G>fake>D>real x>D fake>l", "real>D", "real>D>fake>G l>fake"),
    "inpainting": Drawing("Context encoder: the hole from what is around it",
                          "a=0,1:picture_with_a_hole E=1.4,1 code=2.2,1:code G=3,1 fake=4,1:filling x=4,0:truth "
                          "D=5,.5 real=6.1,.5:real_or_not? l=5.1,1.7:squared_error",
                          "a>E>code>G>fake>D>real x>D fake>l", "real>D", "real>D>fake>G>code>E l>fake"),
    "anogan": Drawing("f-AnoGAN: an encoder finds the z of a picture; what G cannot draw is the finding",
                      "x=0,1:picture E=1.1,1 z=2,1 G=2.8,1 y=3.8,1:G(E(x)) l=5.2,1:what_differs? D=4.4,0:D's_features",
                      "x>E>z>G>y>l y>D>l", "", "l>y>G>z>E l>D>y"),
    "seqgan": Drawing("SeqGAN: words are chosen, so no gradient passes; D's say is a reward",
                      "z=0,1:state G=1,1 w=2.1,1:words_chosen x=2.1,0:real_words D=3.4,.3 real=4.5,1.3:reward",
                      "z>G>w>D>real x>D", "real>D", "real>w>G"),
    "vae": Drawing("VAE: an encoder, a sample with a gradient, a decoder",
                   "x=0,0 E=1,0 m=2,0:mean,_variance z=3.2,0:z_drawn G=4.2,0:decoder y=5.2,0:G(z) "
                   "kl=2,1:KL_to_the_prior l=5.2,1:error", "x>E>m>z>G>y>l m>kl", "", "l>y>G>z>m>E kl>m"),
    "vae_gan": Drawing("VAE-GAN: D's features take the place of pixels",
                       "x=0,1 E=1,1 z=2,1 G=3,1 y=4,1:G(z) x2=4,0:x D=5,.5 real=6.2,.2:real_or_not? "
                       "l=6.2,1.1:features_alike?", "x>E>z>G>y>D>real x2>D>l", "real>D", "real>D l>D>y>G>z>E"),
    "aae": Drawing("Adversarial autoencoder: the game is about codes",
                   "x=0,0 E=1,0 z=2,0:code G=3,0:decoder y=4,0:as_x? p=2,2:drawn_from_a_prior D=3.2,1.2 "
                   "real=4.5,1.2:which?", "x>E>z>G>y z>D>real p>D", "real>D", "real>D>z>E y>G>z"),
    "bigan": Drawing("BiGAN: D judges pairs of sample and code",
                     "x=0,0 E=1,0 e=2,0:E(x) z=0,1 G=1,1 fake=2,1:G(z) D=3.3,.5:D_of_pairs real=4.7,.5:which_pair?",
                     "x>E>e>D>real z>G>fake>D", "real>D", "real>D>fake>G D>e>E"),
    "ebgan": Drawing("EBGAN: D is an autoencoder, and its error the energy",
                     "z=0,1 G=1,1 fake=2,1:G(z) x=2,0 D=3,.5:D_encodes D2=4.2,.5:D_decodes "
                     "real=5.5,.5:error,_margin_m", "z>G>fake>D>D2>real x>D", "real>D2>D", "real>D2>D>fake>G"),
    "gail": Drawing("GAIL: a policy acts, and D's opinion of its steps is the reward",
                    "s=0,1:state G=1,1:policy a=2.1,1:action x=2.1,0:expert's_steps D=3.5,.3 real=4.6,1.3:reward",
                    "s>G>a>D>real x>D", "real>D", "real>a>G"),
    "tape": Drawing("Forward leaves a tape at each layer; pull and accumulate read it on the way back",
                    "x=0,0 L1=1.2,0:Dense t1=1.2,1:tape:_x L2=2.6,0:Tanh t2=2.6,1:tape:_y L3=4,0:Dense "
                    "t3=4,1:tape:_x s=5.2,0:y", "x>L1>L2>L3>s L1>t1 L2>t2 L3>t3", "", "s>L3>L2>L1>x"),
    "few_labels": Drawing("Few labels: D names the class, and matches features for G",
                          "z=0,1.6 G=1,1.6 fake=2,1.6:G(z) x=2,.8 xl=2,0:labelled_x D=3.2,.8 "
                          "q=4.8,0:which_class? real=4.8,.8:real_or_not? f=4.8,1.6:features_alike?",
                          "z>G>fake>D>real x>D xl>D>q D>f",
                          "real>D q>D", "f>D>fake>G"),
    "diffaugment": Drawing("DiffAugment: a random map T stands before D, for real and generated pictures",
                           "z=0,1 G=1,1 fake=2,1:G(z) x=2,0 T=3,.5 D=4,.5 real=5.1,.5:real_or_not?",
                           "z>G>fake>T>D>real x>T", "real>D", "real>D>T>fake>G"),
    "stylegan2": Drawing("StyleGAN2: f makes w of z, and w is a style for each layer of g, which grows a constant",
                         "z=0,1.5 F=1,1.5:f w=2,1.5 start=2,.5:constant G=3.2,1:g,_styled fake=4.4,1:picture x=4.4,2 "
                         "D=5.6,1 real=6.7,1:real_or_not? y=4.4,0:random_picture",
                         "z>F>w>G>fake>D>real start>G x>D", "real>D", "real>D>fake>G>w>F y>G"),
    "progressive": Drawing("Progressive growing: a new block of G, and one of D, fade in beside the old way",
                           "z=0,.5 G=1,.5:G_before G2=2.2,0:new_block G3=2.2,1:enlarge fake=3.5,.5:faded "
                           "x=3.5,1.5:x,_faded D2=4.8,0:new_block D3=4.8,1:shrink D=6,.5:D_before real=7,.5:score",
                           "z>G>G2>fake>D2>D>real G>G3>fake>D3>D x>D2 x>D3", "real>D>D2 D>D3",
                           "real>D>D2>fake>G2>G D>D3>fake>G3>G"),
    "font_style": Drawing("A glyph in another face: the style scales what the content's decoder counts",
                          "c=0,0:plain_glyph E=1.3,0:E_content s=0,1:style_glyphs E2=1.3,1:E_style "
                          "G=2.6,.5:decoder fake=3.7,.5:glyph x=3.7,1.6:truth D=4.8,.5 real=5.9,.5:in_the_face_f? "
                          "l=5.2,1.6:L1", "c>E>G s>E2>G>fake>D>real x>D fake>l", "real>D",
                          "real>D>fake>G>E l>fake G>E2"),
    "video": Drawing("Video: one D judges clips, another single frames",
                     "z=0,1 G=1,1 fake=2,1:clip x=2,0:real_clip D=3.4,0:D_of_clips D2=3.4,1:D_of_frames "
                     "real=5,0:real_or_not? real2=5,1:real_or_not?", "z>G>fake>D>real x>D fake>D2>real2 x>D2",
                     "real>D real2>D2", "real>D>fake>G real2>D2>fake"),
    "wavegan": Drawing("WaveGAN: sounds, whose phases are shuffled between D's layers",
                       "z=0,1 G=1,1 fake=2,1:sound x=2,0:real_sound D=3.3,.5:D's_first q=4.4,.5:shuffle "
                       "D2=5.5,.5:D's_next real=6.8,.5:real_or_not?", "z>G>fake>D>q>D2>real x>D", "real>D2>q>D",
                       "real>D2>q>D>fake>G"),
}  # fmt: skip


class Place(NamedTuple):
    """A name, where it stands, and how large it is drawn."""

    name: str
    x: float
    y: float
    label: str

    @property
    def width(self):
        return 12 + 8.2 * len(self.label) if self.name[0].isupper() else 8 + 7.4 * len(self.label)

    def box(self):
        """Return the SVG of a network's box, or of an array's name."""
        text = f'<text x="{self.x}" y="{self.y + 5}" text-anchor="middle">{escape(self.label)}</text>'
        if not self.name[0].isupper():
            return text
        fill = FILLS.get("G" if self.name[0] == "F" else self.name[0], FILLS["Q"])
        corner = f'x="{self.x - self.width / 2}" y="{self.y - 17}" width="{self.width}" height="34" rx="6"'
        return f'<rect {corner} fill="{fill}" stroke="#777"/>{text}'

    def border(self, other, gap=4):
        """Return the point of the border of this place that looks at another."""
        dx, dy = other.x - self.x, other.y - self.y
        half = self.width / 2 + gap, (17 if self.name[0].isupper() else 11) + gap
        reach = min(half[0] / abs(dx) if dx else 9e9, half[1] / abs(dy) if dy else 9e9)
        return self.x + dx * reach, self.y + dy * reach


def arrow(start, stop, color, shift=0):
    """Return an arrow from one place to another; a gradient is dashed, and runs beside the value's arrow."""
    (x1, y1), (x2, y2) = start.border(stop), stop.border(start)
    length = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    sx, sy = shift * (y1 - y2) / length, shift * (x2 - x1) / length  # to the right of where it goes
    dash = ' stroke-dasharray="5 3"' if shift else ""
    line = f'x1="{x1 + sx:.1f}" y1="{y1 + sy:.1f}" x2="{x2 + sx:.1f}" y2="{y2 + sy:.1f}"'
    return f'<line {line} stroke="{color}" stroke-width="1.6" marker-end="url(#{color[1:]})"{dash}/>'


def draw(drawing):
    """Return a drawing as the text of an SVG, on a light card that can be read on any page."""
    places = {}
    for item in drawing.places.split():
        name, _, rest = item.partition("=")
        where, _, label = rest.partition(":")
        column, row = map(float, where.split(","))
        x, y = EDGE + 20 + column * COLUMN, EDGE + 34 + row * ROW
        places[name] = Place(name, x, y, (label or name).replace("_", " "))
    ways = [(drawing.values, VALUE), (drawing.into_d, INTO_D), (drawing.into_g, INTO_G)]
    both = set(steps(drawing.into_d))
    beside = lambda color, step: 0 if color == VALUE else 13 if color == INTO_G and step in both else 7
    lines = [arrow(places[a], places[b], color, beside(color, (a, b))) for text, color in ways for a, b in steps(text)]
    left = min(0, *(place.x - place.width / 2 - EDGE / 2 for place in places.values()))
    width = max(place.x + place.width / 2 for place in places.values()) + EDGE
    width = max(width, EDGE + 7.6 * len(drawing.title)) - left
    height = max(place.y for place in places.values()) + 2 * EDGE
    heads = "".join(marker(color) for color in (VALUE, INTO_D, INTO_G))
    others = {name[0] for name in places if name[0].isupper()} - {"D"}
    into = "" if not drawing.into_d else ", into G" if others == {"G"} else ", into the others"
    words = [(VALUE, "a value"), (INTO_D, "gradient, into D"), (INTO_G, f"gradient{into}")]
    words = [words[0], *(word for word, way in zip(words[1:], ways[1:], strict=True) if way[0])]
    key = "".join(f'<text x="{left + EDGE / 2 + 130 * i}" y="{height - 12}" font-size="12" fill="{color}">{text}</text>'
                  for i, (color, text) in enumerate(words))  # fmt: skip
    title = f'<text x="{left + EDGE / 2}" y="24" font-weight="bold">{escape(drawing.title)}</text>'
    card = f'<rect x="{left:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8" fill="#fdfdfb"/>'
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="{left:.0f} 0 {width:.0f} {height:.0f}"'
    boxes = "\n".join(place.box() for place in places.values())
    body = "\n".join([card, title, *lines, boxes, key])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {STYLE}>\n<defs>{heads}</defs>\n{body}\n</svg>\n'


def steps(text):
    """Yield the steps of ways such as "z>G>fake x>D"."""
    for way in text.split():
        names = way.split(">")
        yield from zip(names, names[1:], strict=False)


def marker(color):
    """Return the head of the arrows of a colour."""
    shape = f'<path d="M0 0L8 4L0 8z" fill="{color}"/>'
    size = 'markerWidth="8" markerHeight="8" refX="7" refY="4" markerUnits="userSpaceOnUse" orient="auto"'
    return f'<marker id="{color[1:]}" {size}>{shape}</marker>'


if __name__ == "__main__":
    for name in sys.argv[1:] or DRAWINGS:
        (FOLDER / f"wiring_{name}.svg").write_text(draw(DRAWINGS[name]), encoding="utf-8")
