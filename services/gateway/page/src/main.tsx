// The dining room: puts the views together and starts what feeds them.

import { render, type JSX } from "preact";
import { useEffect } from "preact/hooks";

import type { Session } from "./api/types";
import { Header } from "./parts/header";
import { startClock } from "./state/clock";
import { lateOrders } from "./state/lateness";
import { news, startNews } from "./state/news";
import { startProof } from "./state/proof";
import { route, startRoutes } from "./state/route";
import { sample } from "./state/series";
import { screen, startSession } from "./state/session";
import { snapshot } from "./state/snapshot";
import { words } from "./text/words";
import { History } from "./views/history";
import { Kitchen } from "./views/kitchen";
import { Proof } from "./views/proof";
import { Recipes } from "./views/recipes";
import { Services } from "./views/services";
import { SignIn } from "./views/sign-in";
import { Stock } from "./views/stock";
import { StoryView } from "./views/story";
import { Wall } from "./views/wall";

function Page(): JSX.Element {
  const current = screen.value;
  return (
    <>
      <Title />
      {current.name === "signed-in" ? <DiningRoom session={current.session} /> : <SignIn />}
      <p class="only-read" role="status">
        {news}
      </p>
    </>
  );
}

function DiningRoom({ session }: { session: Session }): JSX.Element {
  if (route.value.view === "wall") return <Wall />;
  return (
    <>
      <Header session={session} />
      <main id="main" class="view" tabIndex={-1}>
        <Shown />
      </main>
    </>
  );
}

function Shown(): JSX.Element {
  const { view, order } = route.value;
  switch (view) {
    case "stock":
      return <Stock />;
    case "history":
      return order === undefined ? <History /> : <StoryView order={order} />;
    case "recipes":
      return <Recipes />;
    case "services":
      return <Services />;
    case "proof":
      return <Proof />;
    default:
      return <Kitchen />;
  }
}

function Title(): null {
  const { view } = route.value;
  const name = screen.value.name !== "signed-in" ? words.signIn : view === "wall" ? words.wall : words.tabs[view];
  const late = lateOrders.value.length;
  const title = `${late > 0 ? `(${late}) ` : ""}${name} · Chefcito`;
  useEffect(() => {
    document.title = title;
  }, [title]);
  return null;
}

document.documentElement.lang = words.language;
startRoutes();
if (snapshot === null) startClock(sample);
startNews();
startProof();
void startSession();
const page = document.getElementById("page");
if (page !== null) render(<Page />, page);
