// Every word on the page, in two languages, and how numbers are written.

const ENGLISH = {
  other: "中文",
  skip: "Skip to the results",
  tagline: "The expression a face shows, and the evidence for it",
  picture: "Picture",
  invitation: "Drop or paste a photo here, or click to choose one",
  tap: "Tap to choose a photo",
  stays: "It goes to this service only, is held in memory until it is answered, and is never stored.",
  looking: "Looking …",
  choose: "Choose a photo",
  camera: "Use the webcam",
  "camera-stop": "Stop the webcam",
  options: "Show",
  evidence: "Evidence",
  abstain: "“uncertain” where it is unsure",
  sets: "Possible expressions",
  off: "not shown",
  for: "speaks for the expression",
  against: "speaks against it",
  results: "Faces",
  nothing: "No picture yet.",
  none: "No face found. It finds faces that are seen more or less from the front and are not too small in the picture.",
  one: "1 face: {first}.",
  many: "{count} faces; the largest: {first}.",
  left: "{count} smaller faces were left out.",
  face: "Face {number}",
  sure: "{expression}, {share}",
  uncertain: "uncertain",
  perhaps: "perhaps {expression}, {share}",
  set: "One of:",
  "one-of": "One of: {names}.",
  coverage: "holds the true one for {share} of faces like those it was calibrated on",
  "bars-of": "Probabilities of face {number}",
  "evidence-of": "{expression}: show its evidence",
  rate: "{rate} frames/s, {delay} ms",
  close: "Close",
  model: "{name} · {accuracy} right on {data} {split}",
  "model-unknown": "{name} · accuracy not measured",
  "fact-name": "Model",
  "fact-accuracy": "Accuracy",
  "accuracy-value": "{accuracy} (95 %: {low} to {high}), n = {n}, {data} {split}, {protocol}, face crops",
  "fact-labels": "Expressions",
  "fact-input": "It sees",
  "input-value": "{size} × {size} pixels, {color}",
  gray: "grey",
  rgb: "colour",
  "fact-license": "Licence",
  "fact-sha": "SHA-256",
  "care-title": "Before you use it",
  care: "An expression is not a feeling: people smile without joy, and are sad without showing it. Nothing here tells what a person feels, thinks, intends or is. Do not use it to judge people: in hiring, at work, in schools, in policing, at borders, in court or in insurance. In the European Union inferring emotions at work and in education is prohibited, and elsewhere people must be told. Ask those whom you point a camera at.",
  limits: "Rare expressions (disgust, fear, contempt) are recognised badly, and how well it does for any group of people is unknown.",
  "token-title": "This service asks for a token",
  "token-text": "Whoever runs it has it. It is kept until you close this tab.",
  token: "Token",
  "token-use": "Use it",
  "token-wrong": "That is not the token.",
  unauthorized: "The service answers only with its token. Choose a photo or use the webcam to be asked for it again.",
  "no-camera": "This browser gives pages a webcam only at https:// addresses and on localhost.",
  "camera-denied": "The browser was not allowed to use the webcam. Allow it beside the address, and try again.",
  "camera-missing": "No webcam was found, or another program uses it.",
  unreachable: "The service does not answer. Is it still running?",
  "foreign-answer": "Something else answered in place of the service, such as a proxy that asks for a login. Load the page again, or ask whoever runs it.",
  "stream-lost": "The connection to the service broke off.",
  "no-stream": "The webcam could not be connected: the service has all the streams that it takes, or a proxy in between passes no WebSockets. Try again in a moment, or choose a photo.",
  "not-an-image": "That was no image file.",
  "unusable-image": "The picture could not be read: it is damaged, too large, or neither JPEG, PNG, WebP, BMP nor TIFF.",
  "too-large": "The file is too large for this service. Save it smaller, and try again.",
  busy: "The service has too much to do. Try again in a moment.",
  "not-ready": "The service is not ready. Try again in a moment.",
  timeout: "The answer took too long. Try again, or with a smaller picture.",
  "slow-request": "The file took too long to arrive. Try again with a smaller picture, or with a faster connection.",
  "bad-request": "The request was damaged on its way. Try again.",
  "headers-too-large": "The browser sent more with the request than the service takes, such as many cookies. Delete the cookies of this address, and try again.",
  "foreign-origin": "The service takes this page for one of another site, as behind a proxy that changes the address. Ask whoever runs it.",
  "wrong-host": "The service does not answer at this address. Ask whoever runs it.",
  "not-found": "The service does not know this request. Load the page again, or ask whoever runs it.",
  "method-not-allowed": "The service does not take this kind of request. Load the page again, or ask whoever runs it.",
  "upgrade-required": "The webcam could not be connected: a proxy in between passes no WebSockets. Ask whoever runs it, or choose a photo.",
  "unsupported-type": "The service does not take this kind of upload. Load the page again, or ask whoever runs it.",
  "invalid-parameter": "The service does not take one of the options. Load the page again, or ask whoever runs it.",
  "http-error": "The service does not take this request. Load the page again, or ask whoever runs it.",
  "not-calibrated": "This model was not calibrated, so it gives neither possible expressions nor “uncertain”.",
  internal: "Something went wrong in the service. Whoever runs it finds it in the log.",
};

const CHINESE = {
  other: "English",
  skip: "跳到结果",
  tagline: "人脸呈现的表情，以及判断依据",
  picture: "图片",
  invitation: "把照片拖到或粘贴到这里，也可以点击选择",
  tap: "点按此处选择照片",
  stays: "照片只发送到本服务，仅在内存中保留到得出结果为止，绝不存储。",
  looking: "正在识别……",
  choose: "选择照片",
  camera: "使用摄像头",
  "camera-stop": "停止摄像头",
  options: "显示",
  evidence: "依据",
  abstain: "把握不足时回答“不确定”",
  sets: "可能的表情",
  off: "不显示",
  for: "支持该表情",
  against: "反对该表情",
  results: "人脸",
  nothing: "还没有图片。",
  none: "没有找到人脸。人脸需大致朝前，并且在图片中不能太小。",
  one: "1 张人脸：{first}。",
  many: "{count} 张人脸，最大的一张：{first}。",
  left: "另有 {count} 张较小的人脸未识别。",
  face: "人脸 {number}",
  sure: "{expression}，{share}",
  uncertain: "不确定",
  perhaps: "也许是{expression}，{share}",
  set: "属于：",
  "one-of": "属于：{names}。",
  coverage: "对于与校准数据相似的人脸，{share} 包含真实表情",
  "bars-of": "人脸 {number} 的概率",
  "evidence-of": "{expression}：显示其依据",
  rate: "每秒 {rate} 帧，{delay} 毫秒",
  close: "关闭",
  model: "{name} · 在 {data} {split}上的准确率为 {accuracy}",
  "model-unknown": "{name} · 准确率未测量",
  "fact-name": "模型",
  "fact-accuracy": "准确率",
  "accuracy-value": "{accuracy}（95 %：{low} 至 {high}），n = {n}，{data} {split}，{protocol}，人脸裁剪图",
  "fact-labels": "表情",
  "fact-input": "输入",
  "input-value": "{size} × {size} 像素，{color}",
  gray: "灰度",
  rgb: "彩色",
  "fact-license": "许可",
  "fact-sha": "SHA-256",
  "care-title": "使用之前",
  care: "表情不等于感受：人会没有喜悦而微笑，也会悲伤而不流露。这里的任何结果都不能说明一个人的感受、想法、意图或为人。请勿用它评判他人：包括招聘、工作、学校、执法、边境、法庭和保险。欧盟禁止在工作场所和教育中推断情绪，在其他场合也必须告知当事人。用摄像头对着别人之前，请先征得同意。",
  limits: "少见的表情（厌恶、恐惧、轻蔑）识别得不好；对任何人群的表现如何都是未知的。",
  "token-title": "本服务需要令牌",
  "token-text": "请向服务的运行者索取。令牌只保留到关闭此标签页为止。",
  token: "令牌",
  "token-use": "使用",
  "token-wrong": "令牌不正确。",
  unauthorized: "没有令牌，服务不予回答。选择照片或使用摄像头，即可再次输入令牌。",
  "no-camera": "浏览器只在 https:// 地址和本机（localhost）上允许网页使用摄像头。",
  "camera-denied": "浏览器未获准使用摄像头。请在地址栏旁允许后重试。",
  "camera-missing": "没有找到摄像头，或它正被其他程序使用。",
  unreachable: "服务没有响应。它还在运行吗？",
  "foreign-answer": "回答的不是本服务，可能是要求登录的代理。请重新加载页面，或询问服务的运行者。",
  "stream-lost": "与服务的连接中断了。",
  "no-stream": "摄像头画面无法传给服务：服务的视频流已满，或中间的代理不支持 WebSocket。请稍后重试，或改选照片。",
  "not-an-image": "这不是图片文件。",
  "unusable-image": "无法读取图片：文件已损坏、过大，或不是 JPEG、PNG、WebP、BMP、TIFF 格式。",
  "too-large": "文件超过了本服务的限制。请缩小后重试。",
  busy: "服务正忙，请稍后重试。",
  "not-ready": "服务尚未就绪，请稍后重试。",
  timeout: "等待时间过长。请重试，或换一张较小的图片。",
  "slow-request": "文件上传时间过长。请换一张较小的图片，或在网速较快时重试。",
  "bad-request": "请求在传输中损坏，请重试。",
  "headers-too-large": "浏览器随请求发送的内容（例如大量 Cookie）超过了本服务的限制。请删除此地址的 Cookie 后重试。",
  "foreign-origin": "服务把此页面当成了其他网站的页面，可能是因为中间的代理更改了地址。请询问服务的运行者。",
  "wrong-host": "服务在此地址上不予回答。请询问服务的运行者。",
  "not-found": "服务无法识别此请求。请重新加载页面，或询问服务的运行者。",
  "method-not-allowed": "服务不接受这种请求。请重新加载页面，或询问服务的运行者。",
  "upgrade-required": "摄像头画面无法传给服务：中间的代理不支持 WebSocket。请询问服务的运行者，或改选照片。",
  "unsupported-type": "服务不接受这种上传方式。请重新加载页面，或询问服务的运行者。",
  "invalid-parameter": "服务不接受其中一个选项。请重新加载页面，或询问服务的运行者。",
  "http-error": "服务不接受此请求。请重新加载页面，或询问服务的运行者。",
  "not-calibrated": "该模型未经校准，因此无法给出可能的表情或“不确定”。",
  internal: "服务出错了。运行者可以在日志中找到原因。",
};

const EXPRESSIONS_ZH = {
  neutral: "中性", happiness: "高兴", surprise: "惊讶", sadness: "悲伤",
  anger: "愤怒", disgust: "厌恶", fear: "恐惧", contempt: "轻蔑",
};
const SPLITS_ZH = { test: "测试集", valid: "验证集", train: "训练集" };
const DATA = { ferplus: "FERPlus", rafdb: "RAF-DB", affectnet: "AffectNet", sfew: "SFEW 2.0" };
const KEPT = "crossfer.language";

let language = remembered() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

function remembered() {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept === "en" || kept === "zh" ? kept : null;
  } catch {
    return null; // a browser may forbid it
  }
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // then it is remembered until the page is left
  }
}

/** The words for a key, with {places} filled in; undefined for a key that is not there. */
export function say(key, values = {}) {
  const words = (language === "zh" ? CHINESE : ENGLISH)[key];
  return words?.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const expressionName = (name) => (language === "zh" && EXPRESSIONS_ZH[name]) || name;
export const splitName = (name) => (language === "zh" && SPLITS_ZH[name]) || (name ?? "");
export const dataName = (name) => DATA[name] ?? name;

/** A share of 0..1 in percent; what would round to certainty is said to be near it. */
export function percent(share) {
  if (share >= 0.9995) return ">99.9 %";
  if (share < 0.0005) return "<0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** A share that somebody chose in percent, as few digits as it has: 0.9 is 90 %. */
export const roundPercent = (share) => `${Number((100 * share).toFixed(3))} %`;

/** Puts the language's words into everything that has data-text or data-label. */
export function writeWords() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = say(element.dataset.label);
  const other = document.getElementById("language");
  other.textContent = say("other");
  other.lang = language === "zh" ? "en" : "zh-Hans";
}
